"""Plain ONNX Runtime or the bare engine, a process with many actions each: `points.py plain|engine STORE POINTS`."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as backlit-server does it

import argparse
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from bare import stored
from device import engine as engine_on
from device import plain_session
from pairs import serve

ALL = 1000  # classes, of every network here

Action = Callable[[], object]


@dataclass(frozen=True)
class Point:
    """A question about images of this shape: so many of the best classes, or all; no layers are the default one."""

    model: str
    shape: Sequence[int]
    method: str = "grad-cam"
    classes: int = 5
    layers: Sequence[str] = ()
    profile: str = ""
    more: Sequence[str] = ()  # methods of the same question
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> np.ndarray:
        return np.random.default_rng(0).normal(size=self.shape).astype(np.float32)


def plain(_store: Path) -> Callable[[Point], Action]:
    """ONNX Runtime at its defaults, a session a model."""
    session = functools.cache(lambda model: plain_session(Path(model)))

    def action(point: Point) -> Action:
        feed = {session(point.model).get_inputs()[0].name: point.images}
        return lambda: session(point.model).run(None, feed)

    return action


def engine(store: Path) -> Callable[[Point], Action]:
    """The bare engine: no processes, no gRPC."""
    bare = engine_on(store)

    def action(point: Point) -> Action:
        digest = stored(store, Path(point.model))
        question = pb.Question(model=digest, method=point.method, layers=point.layers, profile=point.profile)
        question.methods.extend(point.more)
        question.parameters.update(point.parameters)
        question.targets.append(pb.Target(all=True) if point.classes == ALL else pb.Target(top=point.classes))
        request, x = pb.ExplainRequest(question=question, inputs={"": to_tensor(point.images)}), point.images
        return lambda: list(bare.explain(request, [x]))

    return action


SIDES = {"plain": plain, "engine": engine}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("store", type=Path)
    parser.add_argument("points", type=json.loads)
    arguments = parser.parse_args()
    action = SIDES[arguments.side](arguments.store)
    serve(*(action(Point(**point)) for point in arguments.points))


if __name__ == "__main__":
    main()
