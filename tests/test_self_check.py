"""Real models pass their self-check whatever the seed; with a wrong row in the table of rules none does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, parser

from backlit_proto import backlit_pb2 as pb
from backlit_server.admission import selfcheck
from backlit_server.admission.card import card_of
from backlit_server.admission.selfcheck import check_head, check_network, self_check
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Runtime
from backlit_server.graph.spelling.retype import retyped
from backlit_server.graph.vjp import VJPS
from backlit_server.methods import METHODS
from plain import THREADS, values
from real_models import CLASSIFIERS, feeds, model_of

AGREES, DIFFERS, NOT_CHECKED = (
    pb.Comparison.VERDICT_AGREES,
    pb.Comparison.VERDICT_DIFFERS,
    pb.Comparison.VERDICT_NOT_CHECKED,
)
QUANTISED = ("efficientnet-lite0-qdq-int8", "squeezenet11-qdq-int8", "squeezenet11-qoperator")
EXACT = tuple(name for name in CLASSIFIERS if name not in QUANTISED)
QUICK = ("digits40-cnn-gap", "gender-dlib", "mnist-cntk", "mnist-dianna", "vww96-mnv1-nhwc")
# Every kind of row on the way from features to scores.
ROWS = [
    *(("digits40-cnn-gap", op) for op in ("GlobalAveragePool", "Flatten", "Gemm")),
    *(("gender-dlib", op) for op in ("Flatten", "Gemm", "Mul", "Relu")),
    *(("pplcnet-orientation", op) for op in ("Conv", "HardSwish", "Identity")),
    *(("vww96-mnv1-nhwc", op) for op in ("AveragePool", "MatMul")),
    *(("mnist-cntk", op) for op in ("Reshape", "MatMul", "Add")),
    ("digits40-vit-tiny", "Softmax"),
]
DEEP_ROWS = [
    *(("catsordogs-nhwc", op) for op in ("Transpose", "Reshape", "MatMul", "Add", "Relu")),
    ("shufflenet_v2_x0_5", "ReduceMean"),
    *(("ultraface-rfb320", op) for op in ("Concat", "Conv", "Relu", "Reshape", "Transpose")),
    *(("edgenext_xx_small", op) for op in ("GlobalAveragePool", "LayerNormalization", "Transpose")),
    *(("digits40-vit-tiny", op) for op in ("Add", "Gather", "Gemm", "LayerNormalization", "MatMul", "Mul", "Reshape")),
    *(("digits40-vit-tiny", op) for op in ("Split", "Squeeze", "Transpose")),
]


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime("cpu", THREADS)


@pytest.fixture(scope="module")
def opened(shared: Path, runtime: Runtime) -> Callable[[str], OpenModel]:
    """Shared models by name, each opened once."""
    found: dict[str, OpenModel] = {}

    def open_model(name: str) -> OpenModel:
        if name not in found:
            found[name] = OpenModel(onnx.load(shared / "models" / f"{name}.onnx"), runtime)
        return found[name]

    return open_model


def wrong(rule: Any) -> Callable[..., Any]:
    """The rule with gradients half as large again."""

    def half_as_large_again(*tensors: Any, **attributes: Any) -> tuple[Any, ...]:
        made = rule(*tensors, **attributes)
        parts = made if isinstance(made, tuple) else (made,)
        return tuple(_enlarged(part) for part in parts)

    return half_as_large_again


def _enlarged(part: Any) -> Any:
    if part is None:
        return None
    return (lambda: _enlarged(part())) if callable(part) else part * 1.5


def assert_caught(model: OpenModel, op: str, seed: int) -> None:
    found = check_head(model, seed, {**VJPS, op: wrong(VJPS[op])})
    assert found.verdict == DIFFERS, found
    assert found.error > 0.03
    assert found.gradient != pytest.approx(found.difference, rel=0.01)


@pytest.mark.parametrize(("name", "op"), ROWS)
def test_a_wrong_row_in_the_head_is_caught(opened, name: str, op: str) -> None:
    assert_caught(opened(name), op, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "op"), [*ROWS, *DEEP_ROWS])
def test_a_wrong_row_in_the_head_is_caught_whatever_the_seed(opened, name: str, op: str, seed: int) -> None:
    assert_caught(opened(name), op, seed)


def test_a_wrong_row_before_the_head_is_caught_in_the_whole_network(opened) -> None:
    model, rules = opened("digits40-cnn-gap"), {**VJPS, "Conv": wrong(VJPS["Conv"])}
    assert check_head(model, 0, rules).verdict == AGREES
    assert check_network(model, 0, rules).verdict == DIFFERS


@pytest.mark.parametrize("name", QUICK)
def test_a_real_model_agrees(opened, name: str) -> None:
    assert_agrees(opened(name), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", EXACT)
def test_no_real_model_is_refused_whatever_the_seed(opened, name: str, seed: int) -> None:
    assert_agrees(opened(name), seed)


def assert_agrees(model: OpenModel, seed: int) -> None:
    found = self_check(model, seed)
    for part in (found.head, found.network):
        assert part.verdict == AGREES, part
        assert part.gradient == pytest.approx(part.difference, rel=0.3)
    assert found.head.error < 5e-2


@pytest.mark.parametrize("name", QUANTISED)
def test_rounding_is_not_checked_and_says_so(opened, name: str) -> None:
    found = self_check(opened(name))
    for part in (found.head, found.network):
        assert part.verdict == NOT_CHECKED
        assert part.explanation.startswith("not checked: quantised, straight-through")


def test_without_a_layer_the_network_alone_is_looked_at(opened) -> None:
    found = self_check(opened("silero-vad"))
    assert found.head.verdict == found.network.verdict == NOT_CHECKED
    assert "no layer to look at" in found.head.explanation


def test_a_network_that_takes_long_is_not_checked(opened, monkeypatch) -> None:
    monkeypatch.setattr(selfcheck, "LONGEST_PASS", 1e-9)
    found = check_network(opened("digits40-cnn-gap"), 0)
    assert found.verdict == NOT_CHECKED
    assert "would take too long" in found.explanation


def test_half_precision_agrees_within_its_own_rounding(shared: Path, runtime: Runtime) -> None:
    half = retyped(model_of(shared, "digits40-cnn-gap"), TensorProto.FLOAT16)
    assert_agrees(OpenModel(half, runtime), seed=0)


def test_what_fails_in_the_check_does_not_cost_the_admission(opened, capsys) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a defect")

    found = check_head(opened("digits40-cnn-gap"), 0, {**VJPS, "Gemm": broken})
    assert found.verdict == NOT_CHECKED
    assert "failed with KeyError" in found.explanation
    assert "a defect" in capsys.readouterr().err


def test_wrong_gradients_leave_the_methods_without_gradients(opened, shared: Path) -> None:
    model = opened("digits40-cnn-gap")
    checked = pb.SelfCheck(head=check_head(model, 0, {**VJPS, "Gemm": wrong(VJPS["Gemm"])}))
    card = card_of(onnx.load(shared / "models/digits40-cnn-gap.onnx"), model, None, checked)
    refused = {m.method for m in card.methods if "the gradient says" in m.why_not}
    assert refused == {name for name, row in METHODS.items() if row.needs_gradients}
    assert {m.method for m in card.methods if not m.available} == {*refused, "d-rise"}, "which follows boxes"


@pytest.mark.parametrize("name", ["mnist-dianna", "shufflenet_v2_x0_5"])
def test_a_retyped_model_computes_the_same(shared: Path, name: str) -> None:
    model = model_of(shared, name)
    inputs, output = feeds(model), model.graph.output[0].name
    head = parser.parse_model('<ir_version: 10, opset_import: ["": 21]> g (float[N,2,3,3] x) => (float[N,2,1,1] y) '
                              "{ y = GlobalAveragePool(x) }")  # fmt: skip
    (pooled,) = values(retyped(head, TensorProto.DOUBLE), ["y"], {"x": np.arange(18.0).reshape(1, 2, 3, 3)})
    assert pooled.ravel().tolist() == [4, 13]
    single, half = (values(retyped(model, t), [output], {n: a.astype(d) for n, a in inputs.items()})[0]
                    for t, d in ((TensorProto.FLOAT, np.float32), (TensorProto.FLOAT16, np.float16)))  # fmt: skip
    assert half.dtype == np.float16
    assert np.allclose(half, single, atol=0.05 * np.abs(single).max())
