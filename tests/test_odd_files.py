"""Files as they come: read, described and explained alike, however they are written."""

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import plain
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadModel, NotDifferentiable, NotExplainable
from backlit_server.admission.card import card_of
from backlit_server.admission.trial import try_out
from backlit_server.engine.files import read
from backlit_server.engine.opening import open_model
from backlit_server.graph import canonical, differentiate
from bare import ask, stored
from odd_files import FILES, OPSETS, WEIGHTS, D, Odd, X, between, features, grad_cam, model, sparse


def image_of(odd: Odd) -> np.ndarray:
    """The image that the features are made of, channels first."""
    x = sum(array for array in odd.inputs.values() if array.ndim == 4)
    return np.asarray(x) if np.shape(x)[1] == 3 else np.asarray(x).transpose(0, 3, 1, 2)


def seeds(odd: Odd, target: int) -> list:
    return [np.eye(5, dtype=np.float32)[target].reshape(odd.seed)] if odd.seed else [target]


ROUTINE = [name for name in FILES if name not in OPSETS or name in ("opset 7", "opset 11", "opset 17", "opset 26")]
REST = [pytest.param(name, marks=pytest.mark.slow) for name in FILES if name not in ROUTINE]


@pytest.mark.parametrize("name", [*ROUTINE, *REST])
def test_a_file_is_explained_however_it_is_written(engine, runtime, tmp_path, name):
    odd = FILES[name]
    (tmp_path / "net.onnx").write_bytes(odd.file.SerializeToString())
    file = read(tmp_path / "net.onnx")
    opened = open_model(file.model, runtime)
    card = card_of(file.model, opened, try_out(file, opened, runtime), pb.SelfCheck())
    assert card.default_layer == odd.layer
    assert "grad-cam" in [m.method for m in card.methods if m.available]
    digest = stored(engine.store, tmp_path / "net.onnx")
    for target in (0, 3):
        ((_, heatmap),) = ask(engine, digest, odd.inputs, "grad-cam", seeds(odd, target))
        (expected,) = grad_cam(image_of(odd), target)
        if heatmap.shape != expected.shape:  # an upsampled one, by nearest
            expected = expected.repeat(2, 0).repeat(2, 1) / 4
        assert np.allclose(heatmap, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_an_export_keeps_what_people_wrote_into_the_file(runtime):
    written = model(opset=11)
    written.doc_string, written.producer_name, written.domain, written.model_version = "cats", "me", "org.me", 7
    written.metadata_props.add(key="classes", value="cat,dog")
    graph = written.graph
    for part in (graph, graph.node[0], graph.input[0], graph.output[0], graph.initializer[0]):
        part.doc_string = f"about {part.name}"
        part.metadata_props.add(key="by", value="me")
    made = open_model(written, runtime).explained("grad-cam", "", {})
    assert (made.doc_string, made.producer_name, made.domain, made.model_version) == ("cats", "me", "org.me", 7)
    assert ("classes", "cat,dog") in [(p.key, p.value) for p in made.metadata_props]
    top = made.graph
    conv = next(node for node in top.node if node.op_type == "Conv")
    for part, of in zip(
        (top, conv, top.input[0], top.output[0], top.initializer[0]),
        (graph, graph.node[0], graph.input[0], graph.output[0], graph.initializer[0]),
        strict=True,
    ):
        assert part.doc_string == of.doc_string
        assert [(p.key, p.value) for p in part.metadata_props] == [("by", "me")]


BYTES_IN = FILES["bytes"]


def test_bytes_are_explained_at_a_layer_and_have_no_gradient_of_their_own(engine, runtime, tmp_path):
    (tmp_path / "net.onnx").write_bytes(BYTES_IN.file.SerializeToString())
    digest = stored(engine.store, tmp_path / "net.onnx")
    with pytest.raises(NotExplainable, match="at 'i': it holds no floats"):
        ask(engine, digest, BYTES_IN.inputs, "grad-cam", [0], layer="i")
    with pytest.raises(NotDifferentiable, match="'i' does not hold floating-point numbers"):
        differentiate(BYTES_IN.file, ["y"], ["i"])
    seed = {"grad/y": np.eye(5, dtype=np.float32)[[2]]}
    (found,) = plain.values(differentiate(BYTES_IN.file, ["y"], ["x"]), ["grad/x"], BYTES_IN.inputs | seed)
    assert np.allclose(found, slope(BYTES_IN.inputs["i"].astype(np.float64), 2), rtol=1e-4, atol=1e-5)


def slope(x: np.ndarray, target: int) -> np.ndarray:
    """The gradient of a score, by differences: exact but for the kinks, since the network is linear between them."""
    step, gradient = 1e-5, np.zeros_like(x)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        up, down = (features(x + sign * moved).mean((2, 3)) @ D[:, target] for sign in (1, -1))
        gradient[place] = (up - down)[0] / (2 * step)
    return gradient


@pytest.mark.parametrize("layer", ["l", "r"])
def test_each_of_several_inputs_has_its_gradient(engine, tmp_path, layer):
    odd = FILES["two images"]
    (tmp_path / "net.onnx").write_bytes(odd.file.SerializeToString())
    digest = stored(engine.store, tmp_path / "net.onnx")
    ((_, heatmap),) = ask(engine, digest, odd.inputs, "hires-cam", [2], layer=layer)
    expected = (odd.inputs[layer] * slope(X.astype(np.float64), 2)).sum(1)[0]
    assert np.allclose(heatmap, expected, rtol=1e-3, atol=1e-4)


def test_double_precision_that_onnx_runtime_cannot_run_is_refused_with_a_way_out(runtime):
    doubles: dict[str, Any] = {name: value.astype(np.float64) for name, value in WEIGHTS.items()}
    with pytest.raises(BadModel, match=r"Conv.*double precision: export it in single"):
        open_model(model(between("float", "double"), **doubles), runtime).forward({"x": X.astype(np.float64)})


# Sparse weights that cannot be: their places, their shape, and the refusal.
SPARSE = {
    "a place outside": ([99], [4, 5], "damaged"),
    "a place before": ([-21], [4, 5], "damaged"),
    "a shape that fills the memory": ([0], [1 << 20, 1 << 20], "too large to be written out"),
}


@pytest.mark.parametrize("case", SPARSE)
def test_a_sparse_weight_that_cannot_be_is_refused_by_name(case):
    places, dims, says = SPARSE[case]
    file = model(change=sparse, ir=11)
    (weight,) = file.graph.sparse_initializer
    weight.indices.CopyFrom(numpy_helper.from_array(np.array(places), "d_indices"))
    weight.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "d"))
    weight.dims[:] = dims
    with pytest.raises(BadModel, match=f"sparse tensor 'd' .*{says}"):
        canonical(file)
