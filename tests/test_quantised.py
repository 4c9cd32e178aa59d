"""Quantised models are explained as their float twins: the same places, the closed forms on dequantised weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import plain
from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.engine import Engine
from backlit_server.graph import ImageInput, canonical, cut
from bare import ask, responses, stored
from preparing import prepare
from real_models import anatomy_of, feeds, model_of, run


@dataclass(frozen=True)
class Twins:
    """A quantised model and the float model it was made from; `features` is the quantised tensor behind its layer."""

    quantised: str
    floating: str
    preset: str
    size: int
    rewritten: tuple[str, ...]


SQUEEZENET = ("squeezenet11-ndf", "caffe-rounded", 227)
TWINS = [
    Twins("squeezenet11-qdq-int8", *SQUEEZENET, ("40 QuantizeLinear passed straight through",)),
    Twins(
        "squeezenet11-qoperator",
        *SQUEEZENET,
        (
            "26 QLinearConv dequantised",
            "8 com.microsoft.QLinearConcat dequantised",
            "1 com.microsoft.QLinearGlobalAveragePool dequantised",
            "36 QuantizeLinear passed straight through",
        ),
    ),
    Twins(
        "efficientnet-lite0-qdq-int8",
        "efficientnet-lite0",
        "efficientnet-lite",
        224,
        ("62 QuantizeLinear passed straight through",),
    ),
]
FEW = 12  # of the hundred photographs


def photographs(shared: Path, twins: Twins, count: int) -> Iterator[np.ndarray]:
    expected = ImageInput(np.dtype(np.float32), "NCHW", 3, twins.size, twins.size)
    files = sorted((shared / "photos" / "imagenet").glob("*.JPEG"))
    for file in files[:: len(files) // count]:
        yield prepare([file.read_bytes()], pb.Preprocessing(preset=twins.preset), expected)


def correlation(engine: Engine, shared: Path, twins: Twins, count: int) -> float:
    """The median over photographs of how the two Grad-CAM maps of the float model's top class correlate."""
    digests = [stored(engine.store, shared / "models" / f"{n}.onnx") for n in (twins.floating, twins.quantised)]
    found = []
    for x in photographs(shared, twins, count):
        ((told, theirs),) = ask(engine, digests[0], x)
        ((_, ours),) = ask(engine, digests[1], x, targets=[told.target.class_index])
        found.append(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])
    print(f"\n{twins.quantised}: median {np.median(found):.4f}, least {min(found):.4f} of {len(found)}")
    return float(np.median(found))


@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: twins.quantised)
def test_the_maps_are_those_of_the_float_twin(engine: Engine, shared: Path, twins: Twins):
    assert correlation(engine, shared, twins, FEW) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: twins.quantised)
def test_the_maps_of_all_photographs_are_those_of_the_float_twin(engine: Engine, shared: Path, twins: Twins):
    assert correlation(engine, shared, twins, 100) >= 0.98


@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: twins.quantised)
def test_cam_is_the_closed_form_on_the_dequantised_weights(engine: Engine, shared: Path, twins: Twins):
    file = shared / "models" / f"{twins.quantised}.onnx"
    layer, weights = anatomy_of(shared, twins.quantised).default_layer, dequantised_weights(file)
    (x,) = photographs(shared, twins, 1)
    features = values_of(canonical(onnx.load(file)), layer, x)
    answers = ask(engine, stored(engine.store, file), x, "cam", [281, 0, 999])
    for told, heatmap in answers:
        expected = np.einsum("c,chw->hw", weights[told.target.class_index], features)
        np.testing.assert_allclose(heatmap, expected, atol=1e-4 * np.abs(expected).max())


def values_of(model: onnx.ModelProto, name: str, x: np.ndarray) -> np.ndarray:
    """A tensor of a model, for its only input."""
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    return plain.values(model, [name], {model.graph.input[0].name: x})[0][0].astype(np.float64)


def dequantised_weights(file: Path) -> np.ndarray:
    """(classes, channels) of the last dense layer as its integers, scales and zero points in the file say it."""
    model = onnx.load(file)
    given = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made = {n.output[0]: n for n in model.graph.node}
    dense = [n for n in model.graph.node if n.op_type == "Gemm"]
    if not dense:
        return np.eye(1000)
    node = made[dense[-1].input[1]]
    integers, scale, zero = (given[name].astype(np.float64) for name in node.input)
    axis = next(a.i for a in node.attribute if a.name == "axis")
    column = [-1 if k == axis else 1 for k in range(2)]
    weights = (integers - zero.reshape(column)) * scale.reshape(column)
    return weights if any(a.name == "transB" and a.i for a in dense[-1].attribute) else weights.T


def test_the_most_certain_score_has_a_map_although_it_is_cut_off(engine: Engine, shared: Path):
    """Beyond the largest score of its calibration the model answers with that one: d(answer) is 0, and no reason."""
    twins = TWINS[2]
    file = shared / "models" / f"{twins.quantised}.onnx"
    model = onnx.load(file)
    model.graph.output.append(onnx.ValueInfoProto(name="logits_QuantizeLinear_Output"))
    session = plain.session(model)
    cut_off = []
    for x in photographs(shared, twins, 50):
        integers = np.asarray(session.run(["logits_QuantizeLinear_Output"], {"input": x})[0])
        cut_off += [x] if integers.max() == np.iinfo(integers.dtype).max else []
    assert len(cut_off) >= 5
    for x in cut_off[:5]:
        ((told, heatmap),) = ask(engine, stored(engine.store, file), x)
        assert told.status == pb.HEATMAP_STATUS_OK
        assert heatmap.std() > 0


@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: twins.quantised)
def test_the_card_and_every_answer_say_that_gradients_are_straight_through(engine: Engine, shared: Path, twins: Twins):
    arithmetic = anatomy_of(shared, twins.quantised).arithmetic
    assert (arithmetic.quantised, arithmetic.rewritten) == (True, twins.rewritten)
    (x,) = photographs(shared, twins, 1)
    file = shared / "models" / f"{twins.quantised}.onnx"
    ((response, _),) = responses(engine, stored(engine.store, file), x, "grad-cam", [])
    told = response.provenance.arithmetic
    assert (told.quantised, tuple(told.rewritten)) == (True, twins.rewritten)


def test_a_float_model_has_nothing_to_say_of_its_arithmetic(shared: Path):
    arithmetic = anatomy_of(shared, "efficientnet-lite0").arithmetic
    assert (arithmetic.quantised, arithmetic.rewritten) == (False, ())


def test_integer_kernels_compute_the_scores_still(shared: Path):
    """The dequantised form is fused back: not one score moves."""
    model = onnx.load(shared / "models" / "squeezenet11-qoperator.onnx")
    inputs = feeds(model)
    assert np.array_equal(run(canonical(model), inputs)["probs"], run(model, inputs)["probs"])


def test_the_name_of_a_node_is_the_layer_that_the_model_goes_on_with(shared: Path):
    model, found = model_of(shared, "squeezenet11-qoperator"), anatomy_of(shared, "squeezenet11-qoperator")
    assert found.layers[-1].node == "conv10_quant"
    assert cut(model, "conv10_quant", found.scores.name).layer == found.default_layer == "conv10_quantized/dequantized"


@pytest.mark.parametrize("name", ["digits40-cnn-gap", "digits40-vit-tiny"])
def test_tensors_that_are_rounded_by_their_own_extremes_have_the_maps_of_their_twin(
    engine: Engine, shared: Path, digits40: np.ndarray, tmp_path: Path, name: str
):
    """DynamicQuantizeLinear: the scale depends on every element, but no reason goes through it."""
    twin, file = shared / "models" / f"{name}.onnx", tmp_path / "dynamic.onnx"
    quantize_dynamic(twin, file, weight_type=QuantType.QUInt8)
    found = []
    for x in digits40[:20, None]:
        ((told, theirs),) = ask(engine, stored(engine.store, twin), x)
        ((_, ours),) = ask(engine, stored(engine.store, file), x, targets=[told.target.class_index])
        found.append(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])
    assert np.median(found) >= 0.95
