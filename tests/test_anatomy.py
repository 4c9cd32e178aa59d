"""What is found in a model: layout, scores, layers, head."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto.errors import NotExplainable
from backlit_server.graph.anatomy import examine
from real_models import CLASSIFIERS, anatomy_of, small

POOLED, MAPS, DENSE, OTHER = "pooling + linear", "convolution + pooling", "flatten + dense", "other"
# name: (layout, scores, activation left out, default layer, its operator, its shape, kind of head)
# fmt: off
EXPECTED = {
    "age-resnet10-dlib": ("NCHW", "logits", "Softmax", "layer_3_relu", "Relu", (-1, 256, 3, 3), POOLED),
    "catsordogs-nhwc": ("NHWC", "sequential_4/dense_9/BiasAdd:0", "Sigmoid", "sequential_4/max_pooling2d_14/MaxPool:0", "MaxPool", (-1, 16, 30, 30), DENSE),  # noqa: E501
    "digits40-cnn-gap": ("NCHW", "logits", "", "/4/4.2/Relu_output_0", "Relu", (-1, 96, 10, 10), POOLED),
    "digits40-vit-tiny": ("NCHW", "logits", "", "/blocks/blocks.3/norm1/LayerNormalization_output_0", "LayerNormalization", (-1, 65, 64), OTHER),  # noqa: E501
    "edgenext_xx_small": ("NCHW", "output", "", "/stages/stages.3/blocks/blocks.1/Add_4_output_0", "Add", (-1, 168, 8, 8), OTHER),  # noqa: E501
    "efficientnet-lite0": ("NCHW", "logits", "", "/_swish_1/Clip_output_0", "Clip", (-1, 1280, 7, 7), POOLED),
    "efficientnet-lite0-qdq-int8": ("NCHW", "logits", "", "/_swish_1/Clip_output_0_DequantizeLinear_Output", "Conv", (-1, 1280, 7, 7), POOLED),  # noqa: E501
    "gender-dlib": ("NCHW", "logits", "Softmax", "layer_5_multiply", "Mul", (-1, 64, 8, 8), DENSE),
    "mnist-cntk": ("NCHW", "Plus214_Output_0", "", "Pooling160_Output_0", "MaxPool", (1, 16, 4, 4), DENSE),
    "mnist-dianna": ("NCHW", "24", "LogSoftmax", "14", "Relu", (-1, 32, 7, 7), DENSE),
    "mnist-optimized": ("NCHW", "Plus214_Output_0", "", "Pooling160_Output_0", "MaxPool", (1, 16, 4, 4), DENSE),
    "mobilevit_xxs": ("NCHW", "output", "", "/final_conv/bn/act/Mul_output_0", "Mul", (-1, 320, 8, 8), POOLED),
    "opennsfw-nhwc-tf2onnx": ("NHWC", "fc_nsfw/BiasAdd:0", "Softmax", "Relu_48:0", "Relu", (-1, 1024, 7, 7), POOLED),
    "pplcnet-orientation": ("NCHW", "p2o.pd_op.add.4.0", "Softmax", "p2o.pd_op.hardswish.26.0", "HardSwish", (-1, 512, 7, 7), OTHER),  # noqa: E501
    "ppocr-textcls-mobilenetv3": ("NCHW", "linear_1.tmp_1", "Softmax", "pool2d_9.tmp_0", "MaxPool", (-1, 200, -1, -1), POOLED),  # noqa: E501
    "shufflenet_v2_x0_5": ("NCHW", "output", "", "/conv5/conv5.2/Relu_output_0", "Relu", (-1, 1024, 7, 7), POOLED),
    "squeezenet11-ndf": ("NCHW", "logits", "Softmax", "conv10", "Conv", (-1, 1000, 13, 13), MAPS),
    "squeezenet11-qdq-int8": ("NCHW", "logits_DequantizeLinear_Output", "Softmax", "conv10_DequantizeLinear_Output", "Conv", (-1, 1000, 13, 13), MAPS),  # noqa: E501
    "squeezenet11-qoperator": ("NCHW", "logits", "Softmax", "conv10_quantized/dequantized", "Conv", (-1, 1000, 13, 13), MAPS),  # noqa: E501
    "ultraface-rfb320": ("NCHW", "459", "Softmax", "314", "Relu", (1, 64, 30, 40), OTHER),
    "vit_tiny_patch16_224": ("NCHW", "output", "", "/blocks/blocks.11/norm1/LayerNormalization_output_0", "LayerNormalization", (-1, 197, 192), OTHER),  # noqa: E501
    "vww96-mnv1-nhwc": ("NHWC", "Add__87:0", "Softmax", "Relu__83:0", "Relu", (-1, 256, 3, 3), POOLED),
}
# fmt: on
# Where the default layer holds tokens: its axes, and whether every path crosses it.
TOKENS: dict[str, tuple[str, bool]] = dict.fromkeys(("digits40-vit-tiny", "vit_tiny_patch16_224"), ("NTC", False))


def test_the_table_names_every_classifier() -> None:
    assert set(EXPECTED) == set(CLASSIFIERS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_model_is_understood(shared: Path, name: str) -> None:
    found = anatomy_of(shared, name)
    layer = next(layer for layer in found.layers if layer.name == found.default_layer)
    told = (found.inputs[0].layout, found.scores.name, found.scores.activation)
    assert (*told, layer.name, layer.operator, layer.shape, found.head.kind) == EXPECTED[name]
    assert (layer.view.axes, layer.on_every_path) == TOKENS.get(name, ("NCHW", True))
    assert found.view_of(layer.name) is layer.view


def test_one_sigmoid_is_a_binary_score(shared: Path) -> None:
    assert anatomy_of(shared, "catsordogs-nhwc").scores.binary
    assert not anatomy_of(shared, "gender-dlib").scores.binary


def test_of_several_outputs_the_first_that_can_be_explained_is_taken(shared: Path) -> None:
    found = anatomy_of(shared, "ultraface-rfb320").scores
    assert (found.output, found.explanation[:34]) == ("scores", "'scores', the first of 2 outputs t")


def test_the_reason_for_the_default_layer_is_a_sentence(shared: Path) -> None:
    reason = "the last spatial tensor that every path from input to scores crosses: 7x7, 1280 channels, after Clip"
    assert anatomy_of(shared, "efficientnet-lite0").default_layer_reason == reason


NO_LAYER = {
    "silero-vad": "no input is an image",
}


@pytest.mark.parametrize("name", NO_LAYER)
def test_a_model_without_a_layer_says_why(shared: Path, name: str) -> None:
    found = anatomy_of(shared, name)
    assert (found.default_layer, found.layers, found.head.kind) == ("", (), OTHER)
    assert NO_LAYER[name] in found.default_layer_reason


def test_inputs_tell_what_is_fixed_and_what_is_free(shared: Path) -> None:
    (image,) = anatomy_of(shared, "ppocr-textcls-mobilenetv3").inputs
    assert (image.dtype, image.shape) == ("float32", (-1, 3, -1, -1))
    assert len(set(image.dim_names)) == 4
    assert anatomy_of(shared, "efficientnet-lite0").inputs[0].dim_names == ("N", "", "", "")


def test_a_fixed_batch_is_said_so(shared: Path) -> None:
    fixed, free = anatomy_of(shared, "mnist-cntk").batch, anatomy_of(shared, "gender-dlib").batch
    assert (fixed.dynamic, free.dynamic) == (False, True)
    assert "fixed to 1" in fixed.explanation


CONV = np.ones((4, 3, 3, 3), np.float32)
SQUARE = np.ones((4, 4, 1, 1), np.float32)


def test_a_branch_is_a_layer_but_not_on_every_path() -> None:
    found = examine(
        small(
            """g (float[N,3,8,8] x) => (float[N,4,1,1] y)
            { a = Conv(x, w) b = Conv(a, v) c = Add(a, b) d = Relu(c) y = GlobalAveragePool(d) }""",
            w=CONV,
            v=SQUARE,
        )
    )
    told = [(layer.name, layer.on_every_path) for layer in found.layers]
    assert told == [("a", True), ("b", False), ("c", True), ("d", True)]
    assert found.default_layer == "d"


def test_shapes_are_no_path() -> None:
    found = examine(
        small(
            """g (float[N,3,H,8] x) => (float[N,K] y)
            { a = Conv(x, w) s = Shape(a) r = Relu(a) q = Reshape(r, s) z = Neg(q) y = Flatten(z) }""",
            w=CONV,
        )
    )
    assert [(layer.name, layer.on_every_path) for layer in found.layers] == [("a", True), ("r", True)]


def test_a_transpose_turns_the_axes() -> None:
    found = examine(
        small(
            """g (float[N,8,8,3] x) => (float[N,4] y)
            { t = Transpose<perm = [0, 3, 1, 2]>(x) a = Conv(t, w) b = Transpose<perm = [0, 2, 3, 1]>(a)
              c = Relu(b) y = ReduceMean<keepdims = 0>(c, axes) }""",
            w=CONV,
            axes=np.array([1, 2]),
        )
    )
    assert found.inputs[0].layout == "NHWC"
    assert [(layer.name, layer.view.axes) for layer in found.layers] == [("a", "NCHW"), ("c", "NHWC")]
    assert found.layers[-1].shape == (-1, 6, 6, 4)
    assert found.head.kind == MAPS


def test_a_model_whose_output_ignores_the_input_is_refused() -> None:
    with pytest.raises(NotExplainable, match="no output of this model depends on its input"):
        examine(small("g (float[N,3] x) => (int64[2] y) { y = Shape(x) }"))


def test_a_layer_without_height_and_width_is_refused_by_name(shared: Path) -> None:
    with pytest.raises(NotExplainable, match="'logits' is no map"):
        anatomy_of(shared, "efficientnet-lite0").view_of("logits")
