"""Clocks and methods of many passes: partial results on the way, and what is known when the time is over."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_tensor
from backlit_server.engine import asking
from backlit_server.engine.engine import Engine
from backlit_server.engine.joining import Pass
from backlit_server.methods import METHODS
from backlit_server.methods.asking import Array, Outcome, Partial, Scores, Steps
from backlit_server.methods.measures import HIGHER, MEASURES, Measure
from backlit_server.methods.measures.measuring import Measured, Measuring, Subject
from backlit_server.methods.method import IMAGE, Method
from bare import stored

Answer = tuple[pb.ExplainResponse, Sequence[Array]]


class Clock:
    """Time goes on when a pass is made, by a second."""

    now = 0.0


@pytest.fixture
def answers(shared: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """What is answered to two images by a method of ten passes of a second, which tells how many were made.

    The measure "made-up" takes three passes of a second, "free" none.
    """
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)

    def counting(image: Array, seeds: Array) -> Steps:
        for k in range(1, 11):
            yield Scores(image)
            clock.now += 1
            made = np.full(len(seeds), k)
            yield Partial(k + np.arange(4.0).reshape(1, 2, 2), k / 10, {"made": made})
        return Outcome(10 + np.arange(4.0).reshape(1, 2, 2), {"made": np.array(10)})

    def measuring(of: Subject) -> Measuring:
        for _ in range(3):
            yield Scores(of.image)
            clock.now += 1
        return Measured(3)

    def free(of: Subject) -> Measuring:
        return Measured(0)
        yield Scores(of.image)

    def run(**question) -> list[Answer | None]:
        method = request.node.name  # what a question's words say is remembered
        monkeypatch.setitem(METHODS, method, Method(counting, at=IMAGE, asks=(Scores,)))
        monkeypatch.setitem(MEASURES, "made-up", Measure(measuring, HIGHER))
        monkeypatch.setitem(MEASURES, "free", Measure(free, HIGHER))
        x = np.random.default_rng(23).random((2, 1, 40, 40), np.float32)
        digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
        asked = pb.ExplainRequest(inputs={"": to_tensor(x)}, question={"model": digest, "method": method, **question})
        return [said for said in engine.explain(asked, [x]) if not isinstance(said, Pass)]

    return run


def finished(found: list[Answer | None]) -> list[pb.Explanation]:
    return [a.explanations[0] for a, _ in filter(None, found) if a.progress == 1]


def test_others_have_their_turn_after_every_pass_and_partial_results_come_on_the_way(answers):
    found = answers()
    assert sum(answer is None for answer in found) == 22
    told = [(a.progress, e.image, e.facts["made"]) for a, _ in filter(None, found) for e in a.explanations]
    assert told == [(k / 10, image, k) for image in (0, 1) for k in range(1, 11)]


def test_partial_results_are_half_a_second_apart_at_least(answers, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asking, "EVERY", 3)
    assert [a.progress for a, _ in filter(None, answers())] == [0.1, 0.4, 0.7, 1.0] * 2


def test_the_time_limit_is_shared_by_the_images_and_what_is_known_by_then_is_the_answer(answers):
    last = finished(answers(time_limit=8))
    assert [e.facts["made"] for e in last] == [4, 4]
    assert [e.status for e in last] == [pb.HEATMAP_STATUS_PARTIAL] * 2
    assert "time limit" in last[0].note


def test_who_is_quick_leaves_the_others_more_time(answers):
    last = finished(answers(time_limit=25))
    assert [(e.facts["made"], e.status) for e in last] == [(10, pb.HEATMAP_STATUS_OK)] * 2


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_time_limit_is_a_positive_number(answers, limit: float):
    with pytest.raises(BadQuestion, match="time limit"):
        answers(time_limit=limit)


def test_measures_get_half_of_the_time_and_those_that_come_too_late_are_marked(answers):
    """Five seconds an image and a half for the map: two passes begin before, and leave two for the measure."""
    measures = [{"name": "made-up"}, {"name": "free"}]
    for one in finished(answers(time_limit=10, measures=measures)):
        assert (one.facts["made"], one.status) == (3, pb.HEATMAP_STATUS_PARTIAL)
        slow, free = one.measurements
        assert slow.unfinished
        assert np.isnan(slow.value)
        assert (free.value, free.unfinished) == (0, False)


def test_measures_that_are_done_in_time_are_told(answers):
    for one in finished(answers(time_limit=60, measures=[{"name": "made-up"}])):
        assert one.facts["made"] == 10
        assert [(m.value, m.unfinished) for m in one.measurements] == [(3, False)]


def test_what_is_known_of_some_versions_of_an_image_is_their_mean_so_far(answers):
    """The maps of the method count its passes; flipped ones come back turned."""
    found = filter(None, answers(smoothing=[pb.Question.SMOOTHING_AUGMENTATION]))
    told = [(a.progress, maps[0]) for a, maps in found if a.explanations[0].image == 0]
    steps = [(version, k) for version in range(6) for k in range(1, 10)] + [(5, 10)]
    assert [progress for progress, _ in told] == pytest.approx([(v + k / 10) / 6 for v, k in steps])
    plain = np.arange(4.0).reshape(2, 2)
    for (version, k), (_, heatmap) in zip(steps, told, strict=True):
        every = [(10 if v < version else k) + (plain if v < 3 else plain[:, ::-1]) for v in range(version + 1)]
        assert np.allclose(heatmap, np.mean(every, 0))
