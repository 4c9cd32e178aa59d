"""What a real server tells of its workers, beside what real questions were asked."""

import math
from pathlib import Path

import numpy as np
import pytest

import backlit
from backlit.metrics import Metrics
from backlit_server.story import STAGES
from real_server import real_server

IMAGES = np.random.default_rng(3).standard_normal((6, 1, 40, 40)).astype(np.float32)
QUESTIONS, STAGE, RUNS = "backlit_question_seconds", "backlit_stage_seconds", "backlit_batch_images"


@pytest.fixture(scope="module")
def metrics(shared: Path, tmp_path_factory) -> Metrics:
    """Three times Grad-CAM, of one, of two and of the same two images; saliency of four; RISE; one refusal."""
    with real_server(tmp_path_factory.mktemp("store")) as address, backlit.connect(address) as server:
        model = server.upload(shared / "models" / "digits40-cnn-gap.onnx", name="digits")
        for images in (IMAGES[:1], IMAGES[1:3], IMAGES[1:3]):
            model.explain(images)
        model.explain(IMAGES[:4], method="saliency")
        model.explain(IMAGES[5:], method="rise", masks=64)
        with pytest.raises(backlit.BadQuestion):
            model.explain(IMAGES[:1], layer="no such layer")
        return server.metrics()


def observed(metrics: Metrics, name: str, **labels: str) -> int:
    return metrics[name].counts(**labels).get(math.inf, 0)


def test_each_question_has_a_time_in_the_queue_and_in_its_method_and_those_answered_in_their_maps(metrics):
    answered = {"grad-cam": 3, "saliency": 1, "rise": 1}
    asked = answered | {"grad-cam": 4}
    for stage, expected in (("queue", asked), ("method", asked), ("encode", answered)):
        found = {method: observed(metrics, STAGE, model="digits", method=method, stage=stage) for method in expected}
        assert found == expected
    assert metrics[STAGE].values("stage") == [(stage,) for stage in sorted(STAGES)]


def test_what_an_earlier_question_made_is_not_run_again(metrics):
    assert observed(metrics, STAGE, method="grad-cam", stage="backbone") == 2
    assert observed(metrics, STAGE, method="grad-cam", stage="head") == 3
    assert metrics["backlit_cache_hits_total"].sum(kind="features") == 1


def test_stages_add_up_to_no_more_than_the_questions_took(metrics):
    for method in ("grad-cam", "saliency", "rise"):
        assert 0 < metrics[STAGE].sum(method=method) <= metrics[QUESTIONS].sum(method=method)


def test_runs_of_backbones_are_told_by_their_images(metrics):
    """Of one, two, four and one image: what RISE does with its masks is its own."""
    assert metrics[RUNS].counts(model="digits") == {1: 2, 2: 3, **dict.fromkeys((4, 8, 16, 32, 64, 128, math.inf), 4)}
    assert metrics[RUNS].sum(model="digits") == 8


def test_a_worker_tells_what_it_takes_and_keeps(metrics):
    assert metrics["backlit_worker_resident_bytes"].sum(device="cpu") > 10 << 20
    assert metrics["backlit_cache_entries"].sum(kind="model") == 1
    assert 0 < metrics["backlit_cache_bytes"].sum() <= metrics["backlit_cache_limit_bytes"].sum()
    assert metrics["backlit_cache_misses_total"].sum(kind="model") == 1
    assert metrics["backlit_worker_questions"].sum() == 0


def test_a_refusal_is_counted_by_its_reason(metrics):
    refused = metrics["backlit_questions_total"].among({"outcome": "BAD_QUESTION"})
    assert [(sample.labels["method"], sample.value) for sample in refused] == [("grad-cam", 1)]
