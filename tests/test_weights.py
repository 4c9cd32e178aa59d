"""Weights of convolutions and dense layers are the file's own, whatever way the file holds them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BadQuestion
from backlit_server.admission.reading import list_weights, read_weights
from backlit_server.engine import files as engine_files
from backlit_server.engine.files import ModelFile, read
from backlit_server.engine.runtime import Runtime
from outside import WEIGHTS, joined, placed, whole
from real_models import CLASSIFIERS
from written import written

rng = np.random.default_rng(11)


def file_of(shared: Path, name: str) -> ModelFile:
    return read(shared / "models" / f"{name}.onnx")


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Initializers and constants of a file, by name."""
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]
    return found | {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in nodes}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_convolution_and_dense_layer_of_a_real_model_is_listed(shared: Path, name: str):
    file = file_of(shared, name)
    listed = list_weights(file).weights
    given = constants(file.model)
    kinds = {"Conv", "ConvTranspose", "QLinearConv", "ConvInteger", "FusedConv"}
    assert len([w for w in listed if w.operator == "Conv"]) == sum(n.op_type in kinds for n in file.model.graph.node)
    assert all(len(w.axes) == len(w.tensor.shape) for w in listed)
    assert all(tuple(w.tensor.shape) == given[w.tensor.name].shape for w in listed if w.tensor.name in given)


@pytest.mark.parametrize(
    "name", ["efficientnet-lite0", "digits40-vit-tiny", "squeezenet11-ndf", "gender-dlib", "ppocr-textcls-mobilenetv3"]
)
def test_the_values_are_the_initializers_of_the_file(shared: Path, runtime: Runtime, name: str):
    file = file_of(shared, name)
    given = constants(file.model)
    listed = list_weights(file).weights
    for one in (listed[0], listed[len(listed) // 2], listed[-1]):
        about, values = read_weights(file, one.tensor.name, runtime)
        assert about == one
        assert np.array_equal(values, given[one.tensor.name])
        assert values.dtype == given[one.tensor.name].dtype


@pytest.mark.parametrize("name", ["squeezenet11-qdq-int8", "squeezenet11-qoperator", "efficientnet-lite0-qdq-int8"])
def test_weights_of_integers_are_the_floats_they_stand_for(shared: Path, runtime: Runtime, name: str):
    file = file_of(shared, name)
    about = list_weights(file).weights[0]
    _, values = read_weights(file, about.tensor.name, runtime)
    (first,) = [n for n in file.model.graph.node if n.name == about.node]
    assert np.array_equal(values, dequantized(file.model, first))


def dequantized(model: onnx.ModelProto, node: onnx.NodeProto) -> np.ndarray:
    """(integers - zero point) * scale, by hand, of the node's own inputs or of the DequantizeLinear before it."""
    given = constants(model)
    if node.op_type == "QLinearConv":
        weights, scale, zero = (given[node.input[k]] for k in (3, 4, 5))
    else:
        (before,) = [n for n in model.graph.node if node.input[1] in n.output]
        weights, scale, zero = (given[name] for name in before.input)
    along = (-1, 1, 1, 1) if scale.size > 1 else ()
    return (weights.astype(np.float32) - zero.astype(np.float32).reshape(along)) * scale.reshape(along)


# The text of the nodes, the shape of their weights w and of their output, the axes the weights have.
NODES = [
    ("y = Conv(x, w)", (2, 3, 1, 1), "1, 2, 4, 4", "OIHW"),
    ("y = ConvTranspose(x, w)", (3, 2, 2, 2), "1, 2, 5, 5", "IOHW"),
    ("r = Reshape(x, row) y = Gemm(r, w)", (48, 2), "1, 2", "IO"),
    ("r = Reshape(x, row) y = Gemm<transB=1>(r, w)", (2, 48), "1, 2", "OI"),
    ("r = Reshape(x, column) y = Gemm(w, r)", (2, 48), "2, 1", "OI"),
    ("r = Reshape(x, column) y = Gemm<transA=1>(w, r)", (48, 2), "2, 1", "IO"),
    ("r = Reshape(x, row) y = MatMul(r, w)", (48, 2), "1, 2", "IO"),
    ("r = Reshape(x, column) y = MatMul(w, r)", (2, 48), "2, 1", "OI"),
    ("y = MatMul(x, w)", (3, 4, 5), "1, 3, 4, 5", "BIO"),
    ("t = Transpose(w) y = Conv(x, t)", (1, 1, 3, 2), "1, 2, 4, 4", "OIHW"),
]


@pytest.mark.parametrize(("nodes", "shape", "output", "axes"), NODES)
def test_the_axes_say_what_they_count(tmp_path: Path, runtime: Runtime, nodes: str, shape, output: str, axes: str):
    weights = rng.normal(size=shape).astype(np.float32)
    sides = {"row": np.array([1, 48]), "column": np.array([48, 1])}
    used = {name: value for name, value in sides.items() if name in nodes}
    text = f"(float[1, 3, 4, 4] x) => (float[{output}] y) {{ {nodes} }}"
    file = read(written(tmp_path / "m.onnx", text, w=weights, **used))
    (about,) = list_weights(file).weights
    assert about.axes == axes
    _, values = read_weights(file, about.tensor.name, runtime)
    assert np.array_equal(values, weights.T if "Transpose(w)" in nodes else weights)


def test_a_layer_is_named_by_its_node_its_output_or_its_weights(shared: Path, runtime: Runtime):
    file = file_of(shared, "squeezenet11-ndf")
    conv = file.model.graph.node[0]
    found = [read_weights(file, name, runtime)[0].tensor.name for name in (conv.name, conv.output[0], conv.input[1])]
    assert found == ["conv1.weight"] * 3
    for wrong in ("pool1", "", "conv1.bias"):
        with pytest.raises(BadQuestion, match="the nearest are 'conv1"):
            read_weights(file, wrong, runtime)


def test_what_two_inputs_make_has_no_weights(tmp_path: Path):
    text = "(float[2, 3] x, float[3, 2] z) => (float[2, 2] y) { y = MatMul(x, z) }"
    assert not list_weights(read(written(tmp_path / "m.onnx", text))).weights


def test_half_precision_stays_half(tmp_path: Path, runtime: Runtime):
    weights = rng.normal(size=(2, 3, 1, 1)).astype(np.float16)
    text = "(float16[1, 3, 4, 4] x) => (float16[1, 2, 4, 4] y) { y = Conv(x, w) }"
    about, values = read_weights(read(written(tmp_path / "m.onnx", text, w=weights)), "w", runtime)
    assert about.tensor.data_type == pb.DATA_TYPE_FLOAT16
    assert np.array_equal(values, weights)


@pytest.mark.parametrize("brought_in", [1 << 30, 0], ids=["brought into the model", "left outside"])
def test_weights_outside_the_model_are_found(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, brought_in: int
):
    monkeypatch.setattr(engine_files, "FIT", brought_in)
    model = whole()
    listed, data = joined(model, placed(model, {"w": ("weights.bin", 64), "d": ("dense.bin", 0)}))
    (tmp_path / "model.onnx").write_bytes(data)
    parts.listing_beside(tmp_path / "model.onnx").write_bytes(parts.listing(listed))
    file = read(tmp_path / "model.onnx")
    assert (file.folder is None) == bool(brought_in)
    for name, value in WEIGHTS.items():
        assert np.array_equal(read_weights(file, name, runtime)[1], value)
