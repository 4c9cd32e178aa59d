"""A small network that has weights worth sharing, and a picture for it."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from backlit_server.engine.engine import Engine
from bare import stored

rng = np.random.default_rng(43)


def toy(seed: int = 0, channels: int = 64) -> onnx.ModelProto:
    """Two convolutions and a dense layer; the second weight alone has 144 KB at 64 channels."""
    random = np.random.default_rng(seed)
    net = parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
        net (float[N, 3, 12, 12] x) => (float[N, 5] y) {
            a = Conv<pads = [1, 1, 1, 1]>(x, w)
            b = Relu(a)
            c = Conv<pads = [1, 1, 1, 1]>(b, v)
            f = Relu(c)
            p = GlobalAveragePool(f)
            q = Flatten(p)
            y = MatMul(q, d)
        }""")
    shapes = {"w": (channels, 3, 3, 3), "v": (channels, channels, 3, 3), "d": (channels, 5)}
    for name, shape in shapes.items():
        net.graph.initializer.append(numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    return net


def put(engine: Engine, folder: Path, seed: int = 0, channels: int = 64) -> str:
    onnx.save(toy(seed, channels), folder / f"{seed}.onnx")
    return stored(engine.store, folder / f"{seed}.onnx")


def picture(count: int = 1) -> np.ndarray:
    return rng.normal(size=(count, 3, 12, 12)).astype(np.float32)
