"""Every model in one spelling, computing what it computed before."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, checker, numpy_helper, parser

from backlit_proto.errors import BadModel
from backlit_server.graph.canonical import canonical
from backlit_server.graph.spelling.aside import constant_of
from real_models import CLASSIFIERS, OTHERS, feeds, run


@pytest.mark.parametrize("name", CLASSIFIERS + OTHERS)
def test_a_real_model_computes_the_same_in_its_canonical_form(shared: Path, name: str) -> None:
    model = onnx.load(shared / "models" / f"{name}.onnx")
    bytes_before = model.SerializeToString()
    made = canonical(model)
    assert model.SerializeToString() == bytes_before
    inputs = feeds(model)
    before, after = run(model, inputs), run(made, inputs)
    assert list(before) == list(after)
    for output, value in before.items():
        np.testing.assert_allclose(after[output], value, rtol=1e-5, atol=1e-5 * np.abs(value).max())


@pytest.mark.parametrize("name", CLASSIFIERS + OTHERS)
def test_the_canonical_form_has_one_spelling(shared: Path, name: str) -> None:
    model = onnx.load(shared / "models" / f"{name}.onnx")
    made = canonical(model)
    checker.check_model(made)
    weights = {t.name for t in made.graph.initializer}
    assert [(o.domain, o.version) for o in made.opset_import if not o.domain] == [("", 21)]
    assert made.ir_version == 10
    assert not [n.name for n in made.graph.node if constant_of(n) is not None]
    assert not weights.intersection(i.name for i in made.graph.input)
    typed = {v.name for v in (*made.graph.value_info, *made.graph.output)}
    foreign = any(n.domain for n in made.graph.node)
    assert foreign or all(o in typed for n in made.graph.node for o in n.output if o)


@pytest.mark.parametrize("name", sorted({*CLASSIFIERS, *OTHERS} - {"squeezenet11-qoperator"}))
def test_what_computes_keeps_its_name(shared: Path, name: str) -> None:
    model = onnx.load(shared / "models" / f"{name}.onnx")
    made = canonical(model)
    kinds = ("Conv", "Gemm", "MatMul", "Relu", "Clip", "Softmax", "GlobalAveragePool")
    before, after = ([o for n in m.graph.node if n.op_type in kinds for o in n.output] for m in (model, made))
    assert before == after


def test_pads_measured_at_run_time_become_constants(shared: Path) -> None:
    made = canonical(onnx.load(shared / "models" / "efficientnet-lite0.onnx"))
    weights = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    pads = [weights[n.input[1]].tolist() for n in made.graph.node if n.op_type == "Pad"]
    assert len(pads) == 17
    assert pads[0] == [0, 0, 0, 0, 0, 0, 1, 1]
    assert {n.op_type for n in made.graph.node} == {
        "Add",
        "Clip",
        "Conv",
        "Gemm",
        "GlobalAveragePool",
        "Pad",
        "Reshape",
    }


def test_a_reshape_that_measured_its_batch_gets_a_constant_shape(shared: Path) -> None:
    made = canonical(onnx.load(shared / "models" / "shufflenet_v2_x0_5.onnx"))
    weights = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    targets = [weights[n.input[1]].tolist() for n in made.graph.node if n.op_type == "Reshape"]
    assert targets[:2] == [[0, 2, 24, 28, 28], [0, 48, 28, 28]]
    assert "Shape" not in {n.op_type for n in made.graph.node}


def test_quantised_weights_stay_quantised(shared: Path) -> None:
    made = canonical(onnx.load(shared / "models" / "squeezenet11-qdq-int8.onnx"))
    weights = {t.name: t for t in made.graph.initializer}
    types = [weights[n.input[0]].data_type for n in made.graph.node if n.input[0] in weights]
    assert types.count(TensorProto.INT8) == 26


def test_the_old_softmax_stays_one_node(shared: Path) -> None:
    for name in ("mnist-dianna", "ppocr-textcls-mobilenetv3", "opennsfw-nhwc-tf2onnx"):
        operators = [n.op_type for n in canonical(onnx.load(shared / "models" / f"{name}.onnx")).graph.node]
        assert "Flatten" not in operators, name


def small(text: str, **weights: np.ndarray) -> onnx.ModelProto:
    model = parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return model


def test_local_functions_are_inlined() -> None:
    model = small(
        """<ir_version: 8, opset_import: ["": 17, "ours": 1]> g (float[N,3] x) => (float[N,3] y) { y = ours.Twice(x) }
        <domain: "ours", opset_import: ["": 17]> Twice (a) => (b)
        { two = Constant<value_float = 2.0>() b = Mul(a, two) }"""
    )
    made = canonical(model)
    assert [n.op_type for n in made.graph.node] == ["Mul"]
    np.testing.assert_array_equal(run(made, {"x": np.ones((2, 3), np.float32)})["y"], 2)


def test_group_normalisation_of_opset_18_keeps_its_scale_per_group() -> None:
    text = """<ir_version: 8, opset_import: ["": 18]> g (float[1,4,2,2] x) => (float[1,4,2,2] y)
        { a = Identity(x) b = GroupNormalization<num_groups = 2>(a, scale, bias) c = Identity(b)
        y = GroupNormalization<num_groups = 2>(c, scale, bias) }"""
    scale, bias = np.array([1, 3], np.float32), np.array([0, 5], np.float32)
    x = np.random.default_rng(0).random((1, 4, 2, 2), np.float32)
    expected = x.reshape(2, -1)
    for _ in range(2):
        centred = expected - expected.mean(1, keepdims=True)
        expected = centred / np.sqrt(expected.var(1, keepdims=True) + 1e-5) * scale[:, None] + bias[:, None]
    got = run(canonical(small(text, scale=scale, bias=bias)), {"x": x})["y"]
    np.testing.assert_allclose(got.reshape(2, -1), expected, rtol=1e-4, atol=1e-5)


def test_nodes_are_sorted_and_the_main_domain_is_spelled_empty() -> None:
    model = small(
        """<ir_version: 8, opset_import: ["ai.onnx": 17]> g (float[-1,3] x) => (float[?,3] y)
        { y = Relu(z) z = ai.onnx.Neg(x) }"""
    )
    made = canonical(model)
    assert [(n.domain, n.op_type) for n in made.graph.node] == [("", "Neg"), ("", "Relu")]
    batch = made.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param == "x[0]"
    assert made.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "x[0]"


def test_large_weights_come_back_unchanged_and_shared_ones_stay_one() -> None:
    weight = np.random.default_rng(0).random((64, 64), np.float32)
    model = small(
        """<ir_version: 8, opset_import: ["": 17]> g (float[N,64] x) => (float[N,64] y)
        { same = Identity(w) h = MatMul(x, w) y = MatMul(h, same) }""",
        w=weight,
    )
    made = canonical(model)
    assert [n.op_type for n in made.graph.node] == ["MatMul", "MatMul"]
    assert [t.name for t in made.graph.initializer] == ["w"]
    np.testing.assert_array_equal(numpy_helper.to_array(made.graph.initializer[0]), weight)


def test_a_constant_that_is_an_output_stays_one() -> None:
    model = small(
        """<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x) => (float[N,3] y, float[1] k)
        { y = Relu(x) one = Constant<value_floats = [1.0]>() k = Neg(one) }"""
    )
    np.testing.assert_array_equal(run(canonical(model), {"x": np.ones((1, 3), np.float32)})["k"], [-1])


def test_a_graph_inside_a_node_still_finds_the_constants_around_it() -> None:
    model = small(
        """<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x, bool c) => (float[N,3] y)
        {
            two = Constant<value_float = 2.0>()
            same = Identity(two)
            y = If (c) <
                then_branch = t () => (float[N,3] a) { a = Mul(x, same) },
                else_branch = e () => (float[N,3] b) { b = Neg(x) }
            >
        }"""
    )
    inputs = {"x": np.ones((1, 3), np.float32), "c": np.array(True)}
    np.testing.assert_array_equal(run(canonical(model), inputs)["y"], 2)


def renamed_circle() -> onnx.ModelProto:
    return small('<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) { a = Add(x, y) y = Neg(a) }')


def without_output() -> onnx.ModelProto:
    return small('<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => () { y = Neg(x) }')


def from_the_future() -> onnx.ModelProto:
    return small('<ir_version: 8, opset_import: ["": 27]> g (float[2] x) => (float[2] y) { y = Neg(x) }')


def with_an_unknown_operator() -> onnx.ModelProto:
    return small('<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) { y = Frobnicate(x) }')


def with_too_few_bytes() -> onnx.ModelProto:
    model = small(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N,64] x) => (float[N,64] y) { y = MatMul(x, w) }',
        w=np.zeros((64, 64), np.float32),
    )
    model.graph.initializer[0].raw_data = bytes(8000)
    return model


REFUSED = {
    "nothing in it": (onnx.ModelProto, "no operators"),
    "a circle": (renamed_circle, "circle through node"),
    "no output": (without_output, "no output"),
    "a new opset": (from_the_future, "opset 27; up to 26"),
    "an unknown operator": (with_an_unknown_operator, "Frobnicate"),
    "a weight cut short": (with_too_few_bytes, "the weight 'w' is damaged"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_no_model_is_refused_with_the_reason(what: str) -> None:
    made, reason = REFUSED[what]
    with pytest.raises(BadModel, match=reason):
        canonical(made())


def test_a_model_without_opset_is_refused(shared: Path) -> None:
    with pytest.raises(BadModel, match="does not say its opset"):
        canonical(onnx.load(shared / "models" / "superres-onnxtutorial.onnx"))


def test_newer_opsets_and_formats_stay_as_they_are() -> None:
    model = small('<ir_version: 12, opset_import: ["": 24]> g (float[2] x) => (float[2] y) { y = Swish(x) }')
    made = canonical(model)
    assert (made.ir_version, made.opset_import[0].version) == (12, 24)
    assert [n.op_type for n in made.graph.node] == ["Swish"]
