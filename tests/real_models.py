"""The shared models by name, canonical and examined, inputs that fit them, and one run in ONNX Runtime."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

import plain
from backlit_server.graph import Anatomy, canonical, examine

CLASSIFIERS = (
    "age-resnet10-dlib",
    "catsordogs-nhwc",
    "digits40-cnn-gap",
    "digits40-vit-tiny",
    "edgenext_xx_small",
    "efficientnet-lite0",
    "efficientnet-lite0-qdq-int8",
    "gender-dlib",
    "mnist-cntk",
    "mnist-dianna",
    "mnist-optimized",
    "mobilevit_xxs",
    "opennsfw-nhwc-tf2onnx",
    "pplcnet-orientation",
    "ppocr-textcls-mobilenetv3",
    "shufflenet_v2_x0_5",
    "squeezenet11-ndf",
    "squeezenet11-qdq-int8",
    "squeezenet11-qoperator",
    "ultraface-rfb320",
    "vit_tiny_patch16_224",
    "vww96-mnv1-nhwc",
)
# No layer to look at: audio.
OTHERS = ("silero-vad",)
OPEN_SIZES = (2, 3, 48, 192)  # a batch of two; the only open picture size among these models is 48x192
SPECIAL = {"sr": np.array(16000), "state": np.zeros((2, 2, 128), np.float32), "input": np.zeros((2, 512), np.float32)}


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Random inputs of the declared shapes, two images where the batch is free."""
    random = np.random.default_rng(0)
    weights = {t.name for t in model.graph.initializer}
    audio = any(i.name == "sr" for i in model.graph.input)
    found = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        if audio:
            found[value.name] = SPECIAL[value.name]
        elif value.name not in weights:
            shape = [d.dim_value if d.dim_value > 0 else OPEN_SIZES[k] for k, d in enumerate(tensor.shape.dim)]
            found[value.name] = random.random(shape, np.float32).astype(
                helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            )
    return found


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name, computed on the CPU."""
    session = plain.session(model)
    names = [output.name for output in session.get_outputs()]
    return {name: np.asarray(value) for name, value in zip(names, session.run(names, inputs), strict=True)}


@cache
def model_of(folder: Path, name: str) -> onnx.ModelProto:
    return canonical(onnx.load(folder / "models" / f"{name}.onnx"))


@cache
def anatomy_of(folder: Path, name: str) -> Anatomy:
    return examine(model_of(folder, name))


def small(text: str, **weights: np.ndarray) -> onnx.ModelProto:
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return canonical(model)
