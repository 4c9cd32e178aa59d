"""The `backlit doctor` command: what it says of files, and the exit status that a pipeline goes by."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from backlit import doctor as command
from backlit import tables
from backlit.cli import main
from backlit.diagnosis import quantity

EVERYTHING, NOT_ALL, NOTHING, NOT_EXAMINED = range(4)
# By model: exit status, millions of multiply-adds (as published, or by hand), how often those a Grad-CAM takes.
REPORTS = {
    "digits40-cnn-gap": (EVERYTHING, 13.1, 1.0),
    "mnist-cntk": (NOT_ALL, 0.787, 1.003),  # 28 * 28 * 8 * 25 + 14 * 14 * 16 * 8 * 25 + 256 * 10
    "silero-vad": (NOT_ALL, 0, None),
    "superres-onnxtutorial": (NOTHING, None, None),
}
MORE_REPORTS = {
    "age-resnet10-dlib": (EVERYTHING, 63.4, 1.0),
    "catsordogs-nhwc": (NOT_ALL, 102, 1.073),
    "digits40-vit-tiny": (NOT_ALL, 10.8, 1.545),
    "edgenext_xx_small": (NOT_ALL, 258, 1.0),  # Maaz et al., 2022: 261 M
    "efficientnet-lite0": (EVERYTHING, 385, 1.003),
    "efficientnet-lite0-qdq-int8": (EVERYTHING, 385, 1.003),
    "gender-dlib": (NOT_ALL, 24.5, 1.005),
    "mnist-dianna": (NOT_ALL, 2.87, 1.017),
    "mnist-optimized": (NOT_ALL, 0.787, 1.003),
    "mobilevit_xxs": (EVERYTHING, 407, 1.001),  # Mehta and Rastegari, 2022: 0.4 G
    "opennsfw-nhwc-tf2onnx": (EVERYTHING, 1070, 1.0),
    "pplcnet-orientation": (NOT_ALL, 154, 1.009),
    "ppocr-textcls-mobilenetv3": (EVERYTHING, 76.1, 1.0),
    "shufflenet_v2_x0_5": (EVERYTHING, 40.5, 1.025),  # Ma et al., 2018: 41 M
    "squeezenet11-ndf": (EVERYTHING, 353, 1.0),  # Iandola, SqueezeNet 1.1: 0.35 G
    "squeezenet11-qdq-int8": (EVERYTHING, 353, 1.0),
    "squeezenet11-qoperator": (EVERYTHING, 353, 1.0),
    "ultraface-rfb320": (NOT_ALL, 97.3, 1.515),
    "vit_tiny_patch16_224": (NOT_ALL, 1250, 1.175),  # Touvron et al., DeiT-Ti, 2021: 1.3 G
    "vww96-mnv1-nhwc": (EVERYTHING, 7.49, 1.0),  # Banbury et al., MLPerf Tiny, 2021: 7.5 M
}
LINEAR = {name for name, (status, *_) in (REPORTS | MORE_REPORTS).items() if status == EVERYTHING}


@pytest.fixture
def report(shared: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, dict[str, Any]]]:
    """Exit status and JSON of a shared model, or of a file."""

    def ask(name: str | Path) -> tuple[int, dict[str, Any]]:
        file = name if isinstance(name, Path) else shared / "models" / f"{name}.onnx"
        status = main(["doctor", "--json", str(file)])
        return status, json.loads(capsys.readouterr().out)

    return ask


def assert_as_expected(name: str, found: tuple[int, dict[str, Any]]) -> None:
    (status, told), (expected, products, share) = found, (REPORTS | MORE_REPORTS)[name]
    assert status == told["status"] == expected
    if products is not None:
        assert told["costs"]["forward"]["macs"] / 1e6 == pytest.approx(products, rel=0.005)
    if share is not None:
        assert told["costs"]["grad_cam_over_forward"] == pytest.approx(share, abs=0.003)
    assert bool(told.get("closed_forms")) == (name in LINEAR)
    assert all(form["error"] < 1e-5 for form in told.get("closed_forms", ()))


@pytest.mark.parametrize("name", REPORTS)
def test_a_model_is_described(report, name: str) -> None:
    assert_as_expected(name, report(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_REPORTS)
def test_every_model_at_hand_is_described(report, name: str) -> None:
    assert_as_expected(name, report(name))


def test_no_model_at_hand_is_missing_here(shared: Path) -> None:
    assert {*REPORTS, *MORE_REPORTS} == {file.stem for file in (shared / "models").glob("*.onnx")}


SAID = (
    "layer       /4/4.2/Relu_output_0",
    "agrees, error",
    "GlobalAveragePool  1",
    "exact: the derivative",
    "1.000 times the multiply-adds",
    "closed form: the scores are linear",
    "all methods for such a model work",
)


def test_a_person_reads_a_page(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(shared / "models/digits40-cnn-gap.onnx")]) == EVERYTHING
    page = capsys.readouterr().out
    for said in SAID:
        assert said in page


def odd(tmp_path: Path) -> Path:
    """A head of operators of every passage: a function, a step, one of nobody, a rounding, and one to run again."""
    body = """
        <ir_version: 10, opset_import: ["": 21, "local": 1, "elsewhere": 1]>
        g (float[N,1,4,4] x) => (float[N,4] y) {
            c = Conv (x, w)
            d = local.twice (c)
            s = Floor (d)
            m = Mul (d, s)
            e = Gather <axis=2> (m, k)
            q = QuantizeLinear (e, scale, zero)
            f = DequantizeLinear (q, scale, zero)
            y = ReduceMean <keepdims=0> (f, axes)
        }
        <domain: "local", opset_import: ["": 21]> twice (a) => (b) { b = Add (a, a) }
    """
    model = parser.parse_model(body)
    weights = {"w": np.ones((4, 1, 1, 1), np.float32), "k": np.array([0, 2, 1]), "axes": np.array([2, 3]),
               "scale": np.float32(0.1), "zero": np.uint8(0)}  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in weights.items())
    onnx.save(model, tmp_path / "odd.onnx")
    return tmp_path / "odd.onnx"


def test_how_a_gradient_passes_each_operator(report, tmp_path: Path) -> None:
    status, told = report(odd(tmp_path))
    assert status in (EVERYTHING, NOT_ALL)
    assert {row["operator"]: row["gradient"] for row in told["operators"]} == {
        "Add": "exact",
        "Conv": "exact",
        "DequantizeLinear": "exact",
        "Floor": "flat",
        "Gather": "replay",
        "Mul": "exact",
        "QuantizeLinear": "straight-through",
        "ReduceMean": "exact",
        "local.twice": "inlined",
    }
    assert told["file"]["precision"] == "quantised"
    assert told["card"]["self_check"]["network"]["explanation"].startswith("not checked: quantised")


def test_what_blocks_is_named_with_its_reason(report, shared: Path, tmp_path: Path) -> None:
    model = onnx.load(shared / "models/digits40-cnn-gap.onnx")
    scores = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Bernoulli", [scores], ["drawn"], seed=1.0))
    model.graph.node.append(helper.make_node("Mul", [scores, "drawn"], ["y"]))
    model.graph.output[0].name = "y"
    onnx.save(model, tmp_path / "drawn.onnx")
    status, told = report(tmp_path / "drawn.onnx")
    row = next(row for row in told["operators"] if row["operator"] == "Bernoulli")
    assert (row["gradient"], row["blocks"]) == ("unsupported", True)
    assert "random" in row["reason"]
    assert status == NOT_ALL


UNREADABLE = {"empty": b"", "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100), "half a model": b"\x08\x08\x12\x07pyt"}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_no_model_is_told_in_words(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file.onnx").write_bytes(UNREADABLE[what])
    assert main(["doctor", str(tmp_path / "file.onnx")]) == NOTHING
    assert "this file cannot be explained: the file is not an ONNX model" in capsys.readouterr().out


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path / "nowhere.onnx")]) == NOTHING
    assert "No such file" in capsys.readouterr().out


ENDS = {
    "crashes": ("import os; os.kill(os.getpid(), 11)", "ended with SIGSEGV"),
    "fails": ("raise SystemExit('a defect')", "failed with status 1: a defect"),
    "says nothing": ("", "failed with status 0"),
    "hangs": ("import time; time.sleep(600)", "longer than"),
}


@pytest.mark.parametrize("how", ENDS)
def test_however_the_examination_ends_the_command_goes_on(how: str, monkeypatch, tmp_path: Path, capsys) -> None:
    code, said = ENDS[how]
    monkeypatch.setattr(command, "COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(command, "SECONDS", 2)
    (tmp_path / "model.onnx").write_bytes(b"model")
    assert main(["doctor", str(tmp_path / "model.onnx")]) == NOTHING
    assert said in capsys.readouterr().out


def test_without_the_server_extra_the_way_out_is_told(monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setattr(command, "NEEDED", ("backlit_server", "a_package_that_nobody_has"))
    assert main(["doctor", str(tmp_path / "model.onnx")]) == NOT_EXAMINED
    assert "needs a_package_that_nobody_has: pip install 'backlit[server]'" in capsys.readouterr().err


def test_weights_beside_the_model_are_found(report, shared: Path, tmp_path: Path) -> None:
    model = onnx.load(shared / "models/digits40-cnn-gap.onnx")
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (status, told), (_, whole) = report(tmp_path / "model.onnx"), report("digits40-cnn-gap")
    assert status == EVERYTHING
    assert told["costs"] == whole["costs"]


def test_tables_are_drawn_at_a_terminal_and_plain_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("Conv", "26"), ("[b]", "1")]
    assert tables.table(("operator", "nodes"), rows) == "operator  nodes\nConv      26\n[b]       1"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    drawn = tables.table(("operator", "nodes"), rows)
    assert "─" in drawn
    assert "[b]" in drawn


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 "), (999, "999 "), (999.7, "1 k"), (384_907_552, "385 M"), (4.1e9, "4.1 G")]
)
def test_quantities_have_three_digits(number: float, said: str) -> None:
    assert quantity(number) == said


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_bad_file_makes_the_doctor_fail(shared: Path, tmp_path: Path, report, monkeypatch) -> None:
    subprocess.run([sys.executable, shared / "badmodels/make_bad.py", tmp_path], check=True, capture_output=True)
    monkeypatch.setattr(command, "SECONDS", 10)
    found = {file.parent.name: report(file) for file in sorted(tmp_path.glob("*/model.onnx"))}
    assert len(found) > 100
    assert {status for status, _ in found.values()} <= {EVERYTHING, NOT_ALL, NOTHING}
    assert not [name for name, (_, told) in found.items() if "Traceback" in str(told.get("refusal"))]
