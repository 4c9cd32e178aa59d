"""Models of half precision: float16 in, single precision out, and the reasons of their float32 twins."""

import warnings
from pathlib import Path

import onnx
import pytest

from backlit_server.engine.engine import Engine

METHODS = ("cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam")
MODELS = (
    "age-resnet10-dlib",
    "digits40-cnn-gap",
    "digits40-vit-tiny",
    "efficientnet-lite0",
    "mobilevit_xxs",
    "vww96-mnv1-nhwc",
)
TOLERANCE = 3e-2  # of the largest value of a map


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    return Engine(tmp_path_factory.mktemp("store"), "cpu", 2)


def halved(file: Path, keep_io_types: bool) -> onnx.ModelProto:
    """The model as ONNX Runtime's own tool converts it; with keep_io_types its inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights below 6e-8 are cut to that
        return convert_float_to_float16(onnx.load(file), keep_io_types=keep_io_types, disable_shape_infer=True)
