"""`backlit top`, beside what was asked of a real server; what it computes, beside closed forms."""

import math
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import backlit
from backlit.cli import main, parser
from backlit.metrics import Metric, Sample, mean, quantile, since
from real_server import real_server

SECONDS = 60
CALLS, TOOK = "backlit_calls_total", "backlit_call_seconds"


@pytest.fixture(scope="module")
def address(tmp_path_factory, shared: Path):
    """A server that was asked three times for Grad-CAM, once for RISE, and once for what it refuses."""
    with real_server(tmp_path_factory.mktemp("store")) as found, backlit.connect(found) as server:
        model = server.upload(shared / "models" / "digits40-cnn-gap.onnx", name="digits")
        for _ in range(3):
            model.explain(np.zeros((1, 40, 40), np.float32))
        model.explain(np.zeros((1, 40, 40), np.float32), method="rise", masks=16)
        with pytest.raises(backlit.BadQuestion):
            model.explain(np.zeros((1, 40, 40), np.float32), masks=16)
        yield found


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line]


def test_one_look_tells_what_was_asked_since_the_start(address, capsys):
    assert main(["top", address, "--once"]) == 0
    found = lines(capsys.readouterr().out)
    titles = next(line for line in found if line[0] == "MODEL")
    rows = {line[1]: dict(zip(titles, line, strict=True)) for line in found if line[0] == "digits"}
    assert (rows["grad-cam"]["FAILED"], rows["rise"]["FAILED"]) == ("1", "0")
    assert 0 < float(rows["grad-cam"]["P50"]) <= float(rows["grad-cam"]["P99"])
    device = next(line for line in found if line[0] == "cpu")
    assert device[1:4] == ["CPUExecutionProvider", "yes", "1"]
    assert ["refused:", "BAD_QUESTION", "1"] in found


def test_the_client_is_told_the_counts_themselves(address):
    with backlit.connect(address) as server:
        metrics = server.metrics()
    questions = metrics["backlit_questions_total"]
    assert questions.kind == "counter"
    assert questions.sum(method="grad-cam", outcome="OK") == 3
    assert questions.sum(method="grad-cam", outcome="BAD_QUESTION") == 1
    assert questions.values("model", "method") == [("digits", "grad-cam"), ("digits", "rise")]
    assert metrics["backlit_question_seconds"].counts(method="rise")[math.inf] == 1


def test_in_a_terminal_it_goes_on_until_q(address):
    ours, theirs = pty.openpty()
    run = "from backlit.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", run, "top", address, "--interval", "0.2"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while seen.count(b"q ends") < 3:
            seen += os.read(ours, 4096)
        os.write(ours, b"q")
        assert process.wait(SECONDS) == 0
    os.close(ours)
    assert b"grad-cam" in seen
    assert b"nothing was asked" in seen  # within the last seconds


@pytest.mark.parametrize("words", [["near:2"], ["--server", "near:2"]])
def test_its_address_is_said_as_for_every_command_or_right_behind_it(words):
    assert parser().parse_args(["top", *words]).server == "near:2"


def test_without_a_server_one_line_says_so(capsys):
    assert main(["top", "127.0.0.1:1", "--timeout", "2"]) == 1
    assert capsys.readouterr().err.startswith("backlit: ")


# ------------------------------------------------------------------ numbers


def histogram(observed: list[float], bounds: list[float]) -> Metric:
    counts = {bound: sum(value <= bound for value in observed) for bound in [*bounds, math.inf]}
    return Metric(TOOK, "", "histogram", (Sample({"rpc": "Explain"}, sum(observed), counts),))


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 1.5), (0.25, 1.0), (0.0, 0.0), (0.75, 2.0), (1.0, 4.0), (0.125, 0.5)],
)
def test_a_quantile_is_where_a_straight_line_through_its_bucket_says(share, expected):
    """Eight observations, two in (0, 1], four in (1, 2], two in (2, 4]: by hand."""
    counts = histogram([0.5, 1, 1.1, 1.2, 1.3, 2, 3, 4], [1, 2, 4]).counts()
    assert quantile(share, counts) == pytest.approx(expected)


def test_a_quantile_beyond_the_last_bound_is_that_bound_and_of_nothing_there_is_none():
    assert quantile(0.99, histogram([0.5, 9], [1, 2]).counts()) == 2
    assert math.isnan(quantile(0.5, histogram([], [1, 2]).counts()))
    assert math.isnan(mean(histogram([], [1, 2])))


def counter(**values: float) -> dict[str, Metric]:
    samples = tuple(Sample({"rpc": rpc}, value, {}) for rpc, value in values.items())
    return {CALLS: Metric(CALLS, "", "counter", samples)}


def test_between_two_looks_counters_are_what_came_and_one_that_began_anew_is_what_it_is():
    found = since(counter(Explain=7, List=2, Get=3), counter(Explain=5, List=9))[CALLS]
    assert {rpc: found.sum(rpc=rpc) for (rpc,) in found.values("rpc")} == {"Explain": 2, "List": 2, "Get": 3}


def test_between_two_looks_a_histogram_is_what_was_observed_between_them():
    before, now = histogram([0.5, 3], [1, 2]), histogram([0.5, 3, 1.5, 1.5], [1, 2])
    found = since({TOOK: now}, {TOOK: before})[TOOK]
    assert found.counts() == {1: 0, 2: 2, math.inf: 2}
    assert mean(found) == 1.5


def test_between_two_looks_a_gauge_is_what_it_is():
    gauge = {"g": Metric("g", "", "gauge", (Sample({}, 4, {}),))}
    assert since(gauge, {"g": Metric("g", "", "gauge", (Sample({}, 9, {}),))})["g"].sum() == 4
