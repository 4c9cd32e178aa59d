"""Forward passes in half precision: how far they lead, what is told of it, and where they are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_proto.tensors import to_array, to_tensor
from backlit_server.engine.engine import Engine
from backlit_server.engine.opening import open_model
from backlit_server.engine.precision import LEAST, MOST, Tried, check, drift, halved
from backlit_server.engine.runtime import Runtime
from backlit_server.execution import Drift, Execution
from backlit_server.graph import Arithmetic
from bare import stored
from real_models import feeds, run, small

NAME = "digits40-cnn-gap"
MAPS = np.array([[[0, 1], [2, 4]], [[3, 1], [0, 2]]], np.float32)
SCORES = np.array([[1, -4], [2, 3]], np.float32)


def test_drift_is_what_scores_move_by_and_how_maps_go_together():
    moved = MAPS + np.array([[[0, 0], [0, 0.1]], [[0, 0], [0, 0]]], np.float32)
    found = drift(Tried(SCORES, MAPS), Tried(SCORES + np.float32(0.1), moved))
    expected = np.corrcoef([0, 1, 2, 4], [0, 1, 2, 4.1])[0, 1]
    assert (found.scores, found.maps, found.images) == (pytest.approx(0.1 / 4), pytest.approx(expected), 2)


def test_without_a_layer_there_is_no_drift_of_maps():
    assert drift(Tried(SCORES, None), Tried(SCORES, None)) == Drift(0, None, 2)


TOO_FAR = {
    "scores that move": (SCORES * np.float32(1 + 2 * MOST), MAPS, "scores move by 10.0%"),
    "scores that overflow": (SCORES * np.float32(np.inf), MAPS, "overflow"),
    "maps that turn": (SCORES, MAPS[:, ::-1], f"it has to be {LEAST}"),
    "maps that are gone": (SCORES, 0 * MAPS, "maps is 0.000"),
}


@pytest.mark.parametrize("case", TOO_FAR)
def test_what_leads_too_far_is_refused(case: str):
    scores, maps, words = TOO_FAR[case]
    with pytest.raises(NotExplainable, match=words):
        drift(Tried(SCORES, MAPS), Tried(scores, maps))


def weighted(dtype: type, **told: int) -> onnx.ModelProto:
    model = small("g (float[n, 2] x) => (float[n, 2] y) { y = Relu(x) }")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 2), dtype), "w"))
    for name, value in told.items():
        setattr(model.graph.initializer[-1], name, value)
    return model


REFUSED = {
    "integers": (Arithmetic(True, ()), weighted(np.float32), "computes with integers"),
    "half already": (Arithmetic(False, ()), weighted(np.float16), "none of its weights is of single precision"),
    "double": (Arithmetic(False, ()), weighted(np.float64), "none of its weights is of single precision"),
    "weights outside": (
        Arithmetic(False, ()),
        weighted(np.float32, data_location=TensorProto.EXTERNAL),
        "outside the file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_half_precision_would_not_make_quicker_is_refused(case: str):
    arithmetic, graph, words = REFUSED[case]
    with pytest.raises(NotExplainable, match=words):
        check(arithmetic, graph)


def test_a_converted_graph_computes_in_half_precision_between_inputs_and_outputs_as_they_were():
    """1 + 2^-11 is no float16. Of the weights: the CPU computes in single precision, and leaves out what it can."""
    weights = (1 + 2**-11) * np.eye(2, dtype=np.float32)
    graph = small("g (float[n, 2] x) => (float[n, 2] y) { y = MatMul(x, w) }", w=weights)
    x = np.array([[1, 3]], np.float32)
    before = graph.SerializeToString()
    (y,) = run(halved(graph), {"x": x}).values()
    assert y.dtype == np.float32
    assert y.tolist() == [[1, 3]]
    assert graph.SerializeToString() == before, "the graph is others' too"


def asked(engine: Engine, digest: str, x: np.ndarray, precision: Any, method: str = "grad-cam") -> tuple:
    question = pb.Question(model=digest, method=method, precision=precision, targets=[pb.Target(class_index=3)])
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
    answers = engine.explain(request, [to_array(request.inputs[""])])
    (response, (heatmap,)) = [answer for answer in answers if isinstance(answer, tuple)][-1]
    return response.provenance, response.explanations[0].target.score, heatmap


@pytest.fixture
def question(shared: Path, engine: Engine) -> tuple[str, np.ndarray]:
    file = shared / "models" / f"{NAME}.onnx"
    (x,) = feeds(onnx.load(file)).values()
    return stored(engine.store, file), x[:1]


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "occlusion", "saliency"])
def test_an_answer_in_half_precision_says_so_and_how_far_that_leads(engine: Engine, question, method: str):
    digest, x = question
    _, score, heatmap = asked(engine, digest, x, pb.PRECISION_SINGLE, method)
    told, near, close = asked(engine, digest, x, pb.PRECISION_HALF, method)
    assert told.execution.precision == pb.PRECISION_HALF
    assert 0 < told.execution.drift.scores < 0.01
    assert 0.999 < told.execution.drift.maps <= 1
    assert near != score, "single precision was not what computed it"
    assert near == pytest.approx(score, rel=0.01)
    assert np.corrcoef(heatmap.ravel(), close.ravel())[0, 1] > 0.999


def test_single_precision_is_the_default_and_has_no_drift(engine: Engine, question):
    digest, x = question
    told, *by_default = asked(engine, digest, x, pb.PRECISION_UNSPECIFIED)
    _, *single = asked(engine, digest, x, pb.PRECISION_SINGLE)
    assert told.execution == pb.Execution(precision=pb.PRECISION_SINGLE)
    assert told.device == "cpu"
    assert by_default[0] == single[0]
    assert np.array_equal(by_default[1], single[1])


def test_a_server_can_be_told_to_compute_in_half_precision(shared: Path, tmp_path: Path, question):
    digest, x = question
    engine = Engine(tmp_path, "cpu", 2, Execution("half"))
    stored(tmp_path, shared / "models" / f"{NAME}.onnx")
    told, score, _ = asked(engine, digest, x, pb.PRECISION_UNSPECIFIED)
    assert told.execution.precision == pb.PRECISION_HALF
    assert asked(engine, digest, x, pb.PRECISION_SINGLE)[1] != score


def test_a_precision_nobody_knows_is_refused(engine: Engine, question):
    digest, x = question
    with pytest.raises(BadQuestion, match="there is no precision 7; there are single, half"):
        asked(engine, digest, x, 7)


@pytest.mark.parametrize("name", ["squeezenet11-qdq-int8", "squeezenet11-qoperator"])
def test_a_quantised_model_is_refused_with_the_reason_again_and_again(shared: Path, runtime: Runtime, name: str):
    model = open_model(onnx.load(shared / "models" / f"{name}.onnx"), runtime)
    for _ in range(2):
        with pytest.raises(NotExplainable, match="does not carry this model: it computes with integers; ask in single"):
            model.at("half")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["age-resnet10-dlib", "edgenext_xx_small", "efficientnet-lite0", "mobilevit_xxs", "opennsfw-nhwc-tf2onnx",
     "pplcnet-orientation", "shufflenet_v2_x0_5", "ultraface-rfb320", "vit_tiny_patch16_224", "vww96-mnv1-nhwc"],
)  # fmt: skip
def test_half_precision_carries_the_real_models(shared: Path, runtime: Runtime, name: str):
    found = open_model(onnx.load(shared / "models" / f"{name}.onnx"), runtime).at("half").drift
    assert found is not None
    assert 0 < found.scores < 0.01
    assert found.maps is not None
    assert found.maps > 0.99
