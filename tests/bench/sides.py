"""The contestants of the benchmark, one a process: `python tests/bench/sides.py NAME MODEL BATCH [DETAIL]`."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as backlit-server does it

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx

import backlit
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import tensors_in, to_array, to_tensor
from backlit_server.graph import differentiate
from backlit_server.graph.overlays.guided import GUIDED
from backlit_server.graph.overlays.relevance import lrp_epsilon, lrp_z_plus
from backlit_server.graph.vjp import VJPS

sys.path.insert(0, str(Path(__file__).parent))
from device import DEVICE, plain_session
from device import engine as engine_on
from pairs import serve

TARGET = "top5"
METHOD = "grad-cam"
ROWS = 4 if DEVICE == "cpu" else 16  # images a run of a method that runs the network again and again, in the engine


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, 3, 224, 224)).astype(np.float32)


def plain(model: Path, batch: int, _detail: str) -> Callable[[], object]:
    """ONNX Runtime at its defaults: the forward pass people already have."""
    session = plain_session(model)
    feed = {session.get_inputs()[0].name: images(batch)}
    return lambda: session.run(None, feed)


def engine(store: Path, batch: int, digest: str) -> Callable[[], object]:
    """The bare engine: no processes, no gRPC."""
    return asked(store, batch, digest, [METHOD], pb.Target(top=int(TARGET.removeprefix("top"))))


def every(store: Path, batch: int, detail: str) -> Callable[[], object]:
    """The bare engine about all classes; `detail` is a digest and a method."""
    digest, method = detail.split()
    return asked(store, batch, digest, [method], pb.Target(all=True))


def best(store: Path, batch: int, detail: str) -> Callable[[], object]:
    """The bare engine about the best class; `detail` is a digest and methods."""
    digest, *methods = detail.split()
    return asked(store, batch, digest, methods, pb.Target(top=1))


def asked(store: Path, batch: int, digest: str, methods: Sequence[str], target: pb.Target) -> Callable[[], object]:
    bare = engine_on(store)
    question = pb.Question(model=digest, method=methods[0], methods=methods[1:], targets=[target])
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(images(batch))})
    tensors = [to_array(tensor) for tensor in tensors_in(request)]
    return lambda: list(bare.explain(request, tensors))


def plain_again(model: Path, count: int, _detail: str) -> Callable[[], object]:
    """ONNX Runtime at its defaults on so many images, in batches as large as the engine's."""
    session = plain_session(model)
    feed = {session.get_inputs()[0].name: images(ROWS)}
    return lambda: [session.run(None, feed) for _ in range(count // ROWS)]


def engine_again(store: Path, count: int, detail: str) -> Callable[[], object]:
    """The bare engine with a method of so many runs; `detail` is the digest, the method, and its parameter."""
    digest, method, parameter = detail.split()
    bare = engine_on(store)
    question = pb.Question(model=digest, method=method, targets=[pb.Target(class_index=0)])
    question.parameters.update({parameter: count})
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(images(1))})
    tensors = [to_array(tensor) for tensor in tensors_in(request)]
    return lambda: list(bare.explain(request, tensors))


def server(model: Path, batch: int, address: str) -> Callable[[], object]:
    """A client on loopback, floats in, maps out."""
    uploaded = backlit.connect(address).upload(model)
    x = images(batch)
    return lambda: uploaded.explain(x, method=METHOD, target=TARGET)


def gradient(model: Path, batch: int, rules: str) -> Callable[[], object]:
    """The forward pass and what is passed back from the first class to the input, at the same defaults."""
    net = onnx.load(model)
    x, y = net.graph.input[0].name, net.graph.output[0].name
    made = differentiate(net, [y], [x], RULES[rules]).SerializeToString()
    session = plain_session(made)
    classes = session.get_inputs()[1].shape[1]
    seed = np.eye(1, classes, dtype=np.float32).repeat(batch, 0)
    feed = {x: images(batch), f"grad/{y}": seed}
    return lambda: session.run(None, feed)


RULES = {
    "gradient": VJPS,
    "guided": {**VJPS, **GUIDED},
    "lrp epsilon": lrp_epsilon(),
    "lrp z-plus": lrp_z_plus(),
}
SIDES = {
    "plain": plain,
    "plain again": plain_again,
    "gradient": gradient,
    "engine": engine,
    "engine again": engine_again,
    "every": every,
    "best": best,
    "server": server,
}


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
