"""The contestants of the benchmark, one a process: `python tests/bench/sides.py NAME MODEL BATCH [DETAIL]`."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import backlit
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import tensors_in, to_array, to_tensor

sys.path.insert(0, str(Path(__file__).parent))
from pairs import serve

TARGET = "top5"
METHOD = "grad-cam"


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, 3, 224, 224)).astype(np.float32)


def plain(model: Path, batch: int, _detail: str) -> Callable[[], object]:
    """ONNX Runtime at its defaults: the forward pass people already have."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images(batch)}
    return lambda: session.run(None, feed)


def engine(store: Path, batch: int, digest: str) -> Callable[[], object]:
    """The bare engine: no processes, no gRPC."""
    from backlit_server.engine.engine import Engine

    bare = Engine(store, "cpu", len(os.sched_getaffinity(0)))
    question = pb.Question(model=digest, method=METHOD, targets=[pb.Target(top=int(TARGET.removeprefix("top")))])
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(images(batch))})
    tensors = [to_array(tensor) for tensor in tensors_in(request)]
    return lambda: list(bare.explain(request, tensors))


def server(model: Path, batch: int, address: str) -> Callable[[], object]:
    """A client on loopback, floats in, maps out."""
    uploaded = backlit.connect(address).upload(model)
    x = images(batch)
    return lambda: uploaded.explain(x, method=METHOD, target=TARGET)


SIDES = {"plain": plain, "engine": engine, "server": server}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("model", type=Path)
    parser.add_argument("batch", type=int)
    parser.add_argument("detail", nargs="?", default="")
    arguments = parser.parse_args()
    serve(SIDES[arguments.side](arguments.model, arguments.batch, arguments.detail))


if __name__ == "__main__":
    main()
