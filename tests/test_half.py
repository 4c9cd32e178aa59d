"""Models of half precision: float16 in, single precision out, and the reasons of their float32 twins."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.transformers.float16 import convert_float_to_float16

import plain
from backlit_server.engine.engine import Engine
from backlit_server.graph import canonical, differentiate
from bare import ask, stored
from real_models import anatomy_of, feeds, model_of

METHODS = ("grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam")
QUICK = ("digits40-cnn-gap", "digits40-vit-tiny", "mnist-cntk")  # the last lists its weights as inputs
SLOW = ("age-resnet10-dlib", "efficientnet-lite0", "mobilevit_xxs", "vww96-mnv1-nhwc")
MODELS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
TOLERANCE = 3e-2  # of the largest value of a map
WIDER = {"grad-cam++": 6e-2}  # it divides by what may be small


def halved(file: Path, keep_io_types: bool) -> onnx.ModelProto:
    """The model as ONNX Runtime's own tool converts it; with keep_io_types inputs and outputs stay float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights below 6e-8 are cut to that
        return convert_float_to_float16(onnx.load(file), keep_io_types=keep_io_types, disable_shape_infer=True)


@pytest.mark.parametrize("keep_io_types", [True, False], ids=["float32 outside", "float16 throughout"])
@pytest.mark.parametrize("name", MODELS)
def test_the_maps_are_those_of_the_float32_twin(
    engine: Engine, shared: Path, tmp_path: Path, name: str, keep_io_types: bool
):
    twin = shared / "models" / f"{name}.onnx"
    file = tmp_path / f"{name}.onnx"
    onnx.save(halved(twin, keep_io_types), file)
    (x,) = feeds(onnx.load(twin)).values()
    for method in METHODS:
        (told, expected), *_ = ask(engine, stored(engine.store, twin), x, method)
        given = x if keep_io_types else x.astype(np.float16)
        (_, heatmap), *_ = ask(engine, stored(engine.store, file), given, method, [told.target.class_index])
        assert heatmap.dtype == np.float32
        tolerance = WIDER.get(method, TOLERANCE) * np.abs(expected).max()
        np.testing.assert_allclose(heatmap, expected, atol=tolerance, err_msg=method)


def test_the_card_tells_half_precision(shared: Path, engine: Engine, tmp_path: Path):
    file = tmp_path / "half.onnx"
    onnx.save(halved(shared / "models" / "digits40-cnn-gap.onnx", keep_io_types=False), file)
    found, twin = engine._models.get(stored(engine.store, file)).anatomy, anatomy_of(shared, "digits40-cnn-gap")
    assert found.inputs[0].dtype == "float16"
    assert found.head.linear is not None
    assert twin.head.linear is not None
    assert (found.default_layer, found.head.kind) == (twin.default_layer, twin.head.kind)
    np.testing.assert_allclose(found.head.linear, twin.head.linear, atol=2e-2 * np.abs(twin.head.linear).max())


def test_the_gradient_of_the_whole_network_is_that_of_its_float32_twin(shared: Path):
    """A smooth network: at kinks the two functions differ, and their gradients with them."""
    half = canonical(halved(shared / "models" / "digits40-vit-tiny.onnx", keep_io_types=False))
    x = feeds(model_of(shared, "digits40-vit-tiny"))["input"]
    seed = np.eye(10, dtype=np.float32)[[3, 5]]
    single, mixed = (
        plain.values(
            differentiate(model, ["logits"], ["input"]),
            ["grad/input"],
            {"input": x.astype(dtype), "grad/logits": seed.astype(dtype)},
        )[0]
        for model, dtype in ((model_of(shared, "digits40-vit-tiny"), np.float32), (half, np.float16))
    )
    assert mixed.dtype == np.float16
    np.testing.assert_allclose(mixed.astype(np.float32), single, atol=TOLERANCE * np.abs(single).max())


def test_weights_of_bfloat16_that_are_cast_are_weights():
    """ONNX Runtime's CPU computes next to nothing in bfloat16, but files keep weights in it."""
    w = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, w.shape, w.ravel())
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["y"]),
    ]
    typed = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k]) for n, k in (("x", 4), ("y", 3))]
    graph = helper.make_graph(nodes, "g", typed[:1], typed[1:], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    given = {"x": np.zeros((2, 4), np.float32), "grad/y": np.eye(3, dtype=np.float32)[:2]}
    (gradient,) = plain.values(differentiate(model, ["y"], ["x"]), ["grad/x"], given)
    np.testing.assert_allclose(gradient, w.T[:2], rtol=1e-2)
