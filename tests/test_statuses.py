"""Every status on a model that shows it, with the way out in words: never a silent black map."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.engine import Engine
from backlit_server.engine.verdicts import NOTES
from bare import ask, stored

X = np.random.default_rng(41).uniform(0.5, 1, size=(1, 2, 4, 4)).astype(np.float32)
CLASSES = np.array([[1, -1, 0], [2, -2, 0]], np.float32)
NET = """<ir_version: 10, opset_import: ["" : 21]> net (float[N, 2, 4, 4] x) => (float[N, 3] y) {{
    f = {features}
    p = {pooled}
    v = Flatten(p)
    s = MatMul(v, d)
    y = {output}(s)
}}"""


@dataclass(frozen=True)
class Case:
    """A network, its gain before the scores, and a question whose answer has the status."""

    features: str = "Relu(x)"
    pooled: str = "GlobalAveragePool(f)"
    output: str = "Identity"
    gain: float = 1.0
    question: dict = field(default_factory=dict)
    says: str = ""


CASES = {
    "OK": Case(),
    "ALL_NONPOSITIVE": Case(question={"targets": [1]}, says="ask for a class the model finds more likely"),
    "CONSTANT": Case(features="Max(x, one)", says="ask at an earlier layer"),
    # The denominator is 2 + relu(g) sum(A) = 2 + 2 / 16 * -16.
    "GUARDED": Case(
        features="Clip(x, , minus)", gain=2, question={"method": "grad-cam++"}, says="compare with layer-cam"
    ),
    "NOT_FINITE": Case(features="Div(x, nought)", says="overflows"),
    "SATURATED": Case(
        output="Softmax", gain=50, question={"scale": "probability"}, says="before the softmax or sigmoid"
    ),
    "DEAD_LAYER": Case(features="Clip(x, , nought)", says="features are all zero"),
    "DIMMED": Case(gain=1e-5, question={"profile": "pytorch-grad-cam"}, says="compare with the profile paper"),
}


def saved(folder: Path, case: Case) -> Path:
    text = NET.format(features=case.features, pooled=case.pooled, output=case.output)
    model = parser.parse_model(text)
    weights = {"d": case.gain * CLASSES, "one": 1.0, "nought": 0.0, "minus": -1.0}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in weights.items() if n in text
    )
    onnx.save(model, file := folder / "net.onnx")
    return file


def asked(engine: Engine, folder: Path, case: Case, **question) -> pb.Explanation:
    ((answer, _),) = ask(
        engine, stored(engine.store, saved(folder, case)), X, **{"targets": [0], **case.question, **question}
    )
    return answer


def told(answer: pb.Explanation) -> str:
    return pb.HeatmapStatus.Name(answer.status).removeprefix("HEATMAP_STATUS_")


def test_every_status_has_a_case_and_words():
    assert set(pb.HeatmapStatus.values()) == {pb.HEATMAP_STATUS_UNSPECIFIED, *NOTES}
    assert {f"HEATMAP_STATUS_{name}" for name in (*CASES, "PARTIAL")} == {pb.HeatmapStatus.Name(s) for s in NOTES}


@pytest.mark.parametrize("status", CASES)
def test_a_model_that_shows_a_status_is_told_the_way_out(engine: Engine, tmp_path: Path, status: str):
    case = CASES[status]
    answer = asked(engine, tmp_path, case)
    assert told(answer) == status
    assert case.says in answer.note
    assert bool(answer.note) == (status != "OK")


SATURATED = CASES["SATURATED"]


@pytest.mark.parametrize(
    ("case", "question", "status"),
    [
        (Case(), {"targets": [2]}, "DEAD_LAYER"),  # no weight of class 2 is other than 0
        (Case(), {"targets": [2], "method": "shapley-cam"}, "DEAD_LAYER"),
        (Case(), {"targets": [2], "method": "saliency"}, "DEAD_LAYER"),
        (Case(), {"targets": [1], "method": "layer-cam"}, "ALL_NONPOSITIVE"),  # all gradients are below 0, none is 0
        (CASES["DEAD_LAYER"], {"method": "eigen-cam"}, "DEAD_LAYER"),
        (CASES["CONSTANT"], {"method": "eigen-cam"}, "CONSTANT"),
        (CASES["NOT_FINITE"], {"method": "fem"}, "NOT_FINITE"),
        (CASES["NOT_FINITE"], {"method": "eigen-cam"}, "NOT_FINITE"),
        (CASES["NOT_FINITE"], {"method": "eigen-cam", "profile": "pytorch-grad-cam"}, "NOT_FINITE"),
        (SATURATED, {"targets": [1]}, "SATURATED"),
        (SATURATED, {"scale": "", "scores": "y"}, "SATURATED"),
        (SATURATED, {"scale": "", "profile": "captum"}, "SATURATED"),
        (SATURATED, {"scale": ""}, "OK"),
        (SATURATED, {"scale": "log-odds"}, "OK"),
        (SATURATED, {"method": "score-cam"}, "OK"),  # it needs no gradient
        (Case(output="LogSoftmax", gain=50), {"scores": "y"}, "SATURATED"),
        (Case(output="LogSoftmax", gain=50), {"scores": "y", "targets": [1]}, "ALL_NONPOSITIVE"),
        (Case(output="Sigmoid", gain=50), {"scale": "probability"}, "SATURATED"),
        (Case(output="Softmax"), {"scale": "probability"}, "OK"),
        (CASES["DIMMED"], {"profile": "paper"}, "OK"),
        (CASES["DIMMED"], {"profile": "lcam", "scale": "score"}, "OK"),
    ],
)
def test_what_a_map_is_judged_by(engine: Engine, tmp_path: Path, case: Case, question: dict, status: str):
    assert told(asked(engine, tmp_path, case, **question)) == status


def test_images_and_targets_of_one_question_are_judged_one_by_one(engine: Engine, tmp_path: Path):
    digest = stored(engine.store, saved(tmp_path, Case()))
    both = np.concatenate([X, -X])  # behind the ReLU nothing is left of the second
    found = [told(answer) for answer, _ in ask(engine, digest, both, targets=[0, 1, 2])]
    assert found == ["OK", "ALL_NONPOSITIVE", "DEAD_LAYER", *["DEAD_LAYER"] * 3]


def test_behind_the_last_attention_of_a_transformer_no_patch_counts(engine: Engine, shared: Path):
    digest = stored(engine.store, shared / "models" / "digits40-vit-tiny.onnx")
    digits = np.random.default_rng(1).random((1, 1, 40, 40), np.float32)
    ((behind, _),) = ask(engine, digest, digits, layer="/norm/LayerNormalization_output_0")
    ((before, _),) = ask(engine, digest, digits)
    assert (told(behind), told(before)) == ("DEAD_LAYER", "OK")
    assert "only the class token counts" in behind.note
