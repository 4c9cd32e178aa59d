"""Models written in ONNX's own notation, for the bare engine."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'


def written(file: Path, text: str, **weights: np.ndarray) -> Path:
    """A file with this graph and these weights."""
    model = parser.parse_model(f"{HEADER} net {text}")
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.save(model, file)
    return file
