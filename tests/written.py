"""Models written in ONNX's own notation, and what they compute."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import numpy_helper, parser

import plain

CNN = """(float[N, 3, H, W] x) => (float[N, 5] y) {
    a = Conv<pads = [1, 1, 1, 1]>(x, w)
    f = Relu(a)
    p = GlobalAveragePool(f)
    v = Flatten(p)
    y = MatMul(v, d)
}"""  # w is (channels, 3, 3, 3), d is (channels, 5)
HEADER = '<ir_version: 10, opset_import: ["" : 21]>'


def model(text: str, **weights: ArrayLike) -> onnx.ModelProto:
    """A graph and its weights."""
    made = parser.parse_model(f"{HEADER} net {text}")
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in weights.items())
    return made


def written(file: Path, text: str, **weights: np.ndarray) -> Path:
    """The same as a file."""
    onnx.save(model(text, **weights), file)
    return file


def run(made: onnx.ModelProto, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs by name, of a model that onnx's checker accepts."""
    onnx.checker.check_model(made)
    session = plain.session(made)
    names = [o.name for o in session.get_outputs()]
    return {name: np.asarray(result) for name, result in zip(names, session.run(names, feeds), strict=True)}
