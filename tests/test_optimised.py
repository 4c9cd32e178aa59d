"""Files that ONNX Runtime has optimised: the same layers, the same scores, the same reasons as of the file before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

import plain
from backlit_proto.errors import BadModel
from backlit_server.graph import canonical, cut, differentiate, examine
from real_models import anatomy_of, feeds, model_of

Level = onnxruntime.GraphOptimizationLevel
# What ONNX Runtime fuses in each: FusedConv and FusedGemm; BiasGelu and FusedMatMul; QuickGelu and LayerNormalization
# under opset 16; QLinear operators. In each the default layer keeps its name.
EXTENDED = {
    "catsordogs-nhwc": {"com.microsoft.FusedConv": "3", "com.microsoft.FusedGemm": "2"},
    "edgenext_xx_small": {"com.microsoft.BiasGelu": "12", "com.microsoft.FusedMatMul": "3"},
    "mobilevit_xxs": {"com.microsoft.LayerNormalization": "21", "com.microsoft.QuickGelu": "34"},
}


def optimised(file: Path, folder: Path, level: onnxruntime.GraphOptimizationLevel) -> onnx.ModelProto:
    plain.one_thread_pool(plain.THREADS)
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimised.onnx")


@pytest.mark.parametrize("name", [*list(EXTENDED)[:2], pytest.param("mobilevit_xxs", marks=pytest.mark.slow)])
def test_an_optimised_file_is_taken_apart_again(shared: Path, tmp_path: Path, name: str):
    made = canonical(optimised(shared / "models" / f"{name}.onnx", tmp_path, Level.ORT_ENABLE_EXTENDED))
    assert {node.domain for node in made.graph.node} == {""}
    noted = {p.key.removeprefix("backlit.rewritten/"): p.value for p in made.metadata_props}
    assert noted.items() >= EXTENDED[name].items()
    found, before = examine(made), anatomy_of(shared, name)
    assert (found.default_layer, found.head.kind) == (before.default_layer, before.head.kind)
    theirs, ours = (gradient_at(model, before.default_layer) for model in (model_of(shared, name), made))
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def gradient_at(model: onnx.ModelProto, layer: str) -> np.ndarray:
    """Of the first score, at a layer, for made-up images."""
    scores = examine(model).scores.name
    made = cut(model, layer, scores)
    tensors = dict(zip(made.crossing, plain.values(made.backbone, made.crossing, feeds(model)), strict=True))
    width = made.head.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    seed = np.zeros((len(tensors[layer]), width), np.float32)
    seed[:, 0] = 1
    head = differentiate(made.head, [scores], [layer])
    return plain.values(head, [f"grad/{layer}"], {**tensors, f"grad/{scores}": seed})[0]


@pytest.mark.parametrize(
    "name", ["squeezenet11-qdq-int8", pytest.param("efficientnet-lite0-qdq-int8", marks=pytest.mark.slow)]
)
def test_a_quantised_file_optimised_for_channels_last_is_taken_apart_again(shared: Path, tmp_path: Path, name: str):
    file = optimised(shared / "models" / f"{name}.onnx", tmp_path, Level.ORT_ENABLE_ALL)
    assert any(node.op_type == "QLinearConv" and node.domain for node in file.graph.node)
    made, inputs = canonical(file), feeds(file)
    output = file.graph.output[0].name
    theirs, ours = (plain.values(model, [output], inputs)[0] for model in (file, made))
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())
    assert examine(made).head.kind == anatomy_of(shared, name).head.kind


def test_a_file_blocked_for_one_processor_is_refused_with_the_way_out(shared: Path, tmp_path: Path):
    file = optimised(shared / "models" / "digits40-cnn-gap.onnx", tmp_path, Level.ORT_ENABLE_ALL)
    if not any(node.domain == "com.microsoft.nchwc" for node in file.graph.node):
        pytest.skip("this processor has no blocked layout")
    with pytest.raises(BadModel, match=r"give the unoptimised model"):
        canonical(file)


def test_a_domain_that_the_file_forgets_to_import_is_known():
    """As onnxruntime.transformers writes them."""
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[N,4] x, float[4] b) => (float[N,4] y) { y = Sqrt(x) }'
    model = parser.parse_model(text)
    model.graph.node[0].op_type, model.graph.node[0].domain = "BiasGelu", "com.microsoft"
    model.graph.node[0].input.append("b")
    assert [node.op_type for node in canonical(model).graph.node] == ["Add", "Gelu"]


def test_what_cannot_be_written_stays_and_is_named():
    text = """<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1]>
        g (float[N,4,4] x) => (float[N,4,4] y) { y = com.microsoft.Inverse(x) }"""
    made = canonical(parser.parse_model(text))
    assert [node.domain for node in made.graph.node] == ["com.microsoft"]
    with pytest.raises(Exception, match=r"com\.microsoft\.Inverse \(y\)"):
        differentiate(made, ["y"], ["x"])
