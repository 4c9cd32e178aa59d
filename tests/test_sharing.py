"""Passes that several questions wait for, made in one run: at the desk, with an engine that only counts."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import DeadlineExceeded, InternalError
from backlit_server.story import BACKBONE, unpacked
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.messages import detach_question, heard
from backlit_server.workers.questions import Desk
from backlit_server.workers.terms import Priority, Terms
from toy_engines import Toy

WAIT = 10


@dataclass(eq=False)
class Waiting:
    """A pass that notes in which run it was made."""

    name: str
    kind: str
    images: int
    most: int
    made: bool = False


class Counting(Toy):
    """Questions that wait for one pass: their layer is "NAME KIND IMAGES [MOST]"; bad ones fail their run."""

    def __init__(self) -> None:
        super().__init__(Path(), "cpu", 1)
        self.runs: list[list[str]] = []
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.interrupted = False

    def shared(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Generator:
        name, kind, *numbers = request.question.layer.split()
        images, most = (*map(int, numbers), 99)[:2]
        waiting = Waiting(name, kind, images, most)
        yield waiting
        if not waiting.made:
            self.run([waiting])
        yield self._answer(np.zeros(1, np.float32))

    def run(self, passes: Sequence[Waiting]) -> None:
        self.watch.ran(sum(one.images for one in passes))
        self.watch.call(BACKBONE, lambda: self.runs.append([one.name for one in passes]))
        if "slow" in self.runs[-1]:
            self.inside.set()
            assert self.go_on.wait(WAIT)
        if self.interrupted:
            raise RuntimeError("the run was interrupted")
        if any(one.name == "bad" for one in passes):
            raise ValueError("a poisoned input")
        for one in passes:
            one.made = True

    def interrupt(self) -> None:
        self.interrupted = True


@pytest.fixture
def engine() -> Counting:
    return Counting()


@pytest.fixture
def sent() -> list[Frame]:
    return []


@pytest.fixture
def desk(engine, sent) -> Desk:
    return Desk(engine, sent.append, batch=8, clock=lambda: 100.0)


def asked(number: int, layer: str, **terms) -> Frame:
    question = pb.Question(method="shared", layer=layer)
    return Frame(Kind.EXPLAIN, number, *detach_question(pb.ExplainRequest(question=question), Terms(**terms)))


def work(desk: Desk, *frames: Frame) -> None:
    for frame in (*frames, Frame(Kind.STOP)):
        desk.post(frame)
    desk.run()


def told(sent: Sequence[Frame], number: int) -> list[str]:
    return [frame.kind.name for frame in sent if frame.question == number]


ANSWERED = ["ANSWER", "END"]


def test_passes_of_one_kind_are_made_in_one_run_whoever_asks(desk, engine, sent):
    work(desk, *(asked(k, f"{name} x 1", caller=name) for k, name in enumerate("abc")))
    assert engine.runs == [["a", "b", "c"]]
    assert [told(sent, k) for k in range(3)] == [ANSWERED] * 3


def test_a_run_that_is_shared_is_in_the_story_of_each_and_its_images_in_one(desk, sent):
    work(desk, *(asked(k, f"{name} x 2", caller=name) for k, name in enumerate("abc")))
    stories = [unpacked(frame.body) for frame in sent if frame.kind is Kind.END]
    spans = {(story.stages[BACKBONE].first, story.stages[BACKBONE].last) for story in stories}
    assert (len(stories), len(spans)) == (3, 1)
    assert sorted(len(story.runs) for story in stories) == [0, 0, 1]
    assert {6: 1} in [story.runs for story in stories]


SEPARATE = {
    "of different kinds": (["a x 1", "b y 1", "c x 1"], [{}] * 3, [["a", "c"], ["b"]]),
    "beyond the largest batch": (["a x 4", "b x 3", "c x 2", "d x 1"], [{}] * 4, [["a", "b", "d"], ["c"]]),
    "beyond what a run gains from": (["a x 1 2", "b x 1 2", "c x 1 2"], [{}] * 3, [["a", "b"], ["c"]]),
    "larger than a batch": (["a x 9", "b x 1", "c x 1"], [{}] * 3, [["a"], ["b", "c"]]),
    "of audits and of those who wait": (
        ["a x 1", "b x 1", "c x 1"],
        [{"priority": Priority.AUDIT}, {}, {}],
        [["b", "c"], ["a"]],
    ),
}


@pytest.mark.parametrize("kind", SEPARATE)
def test_runs_are_separate_for_passes(kind, desk, engine, sent):
    layers, terms, runs = SEPARATE[kind]
    work(desk, *(asked(k, layer, **how) for k, (layer, how) in enumerate(zip(layers, terms, strict=True))))
    assert engine.runs == runs
    assert [told(sent, k) for k in range(len(layers))] == [ANSWERED] * len(layers)


def test_a_run_that_fails_is_repeated_one_by_one_and_only_the_culprit_is_told(desk, engine, sent):
    work(desk, asked(1, "a x 1"), asked(2, "bad x 1"), asked(3, "b x 1"))
    assert engine.runs == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]
    assert told(sent, 1) == told(sent, 3) == ANSWERED
    assert told(sent, 2) == ["FAIL"]


def test_a_question_that_is_cancelled_before_the_run_is_left_out(desk, engine, sent):
    work(desk, asked(1, "a x 1"), asked(2, "b x 1"), asked(3, "c x 1"), Frame(Kind.CANCEL, 2))
    assert engine.runs == [["a", "c"]]
    assert told(sent, 2) == ["END"]


def in_the_run(desk: Desk, engine: Counting) -> threading.Thread:
    """The desk at work on a run for two questions, which is held until the engine may go on."""
    for number, name in ((1, "slow"), (2, "b")):
        desk.post(asked(number, f"{name} x 1"))
    thread = threading.Thread(target=desk.run, daemon=True)
    thread.start()
    assert engine.inside.wait(WAIT)
    return thread


def test_the_run_goes_on_for_the_others_when_one_of_its_callers_leaves(desk, engine, sent):
    thread = in_the_run(desk, engine)
    desk.post(Frame(Kind.CANCEL, 1))
    assert not engine.interrupted
    engine.go_on.set()
    desk.post(Frame(Kind.STOP))
    thread.join(WAIT)
    assert engine.runs == [["slow", "b"]]
    assert told(sent, 1) == ["END"]
    assert told(sent, 2) == ANSWERED


def test_the_run_is_interrupted_when_all_its_callers_have_left(desk, engine, sent):
    thread = in_the_run(desk, engine)
    desk.post(Frame(Kind.CANCEL, 1))
    desk.post(Frame(Kind.CANCEL, 2))
    assert engine.interrupted
    engine.go_on.set()
    desk.post(Frame(Kind.STOP))
    thread.join(WAIT)
    assert engine.runs == [["slow", "b"]], "nobody is left to repeat it for"
    assert told(sent, 1) == told(sent, 2) == ["END"]


def test_a_question_whose_deadline_has_passed_is_never_run(desk, engine, sent):
    work(desk, asked(1, "a x 1", deadline=99.0), asked(2, "b x 1", deadline=101.0))
    assert engine.runs == [["b"]]
    assert told(sent, 2) == ANSWERED
    (late,) = [frame for frame in sent if frame.question == 1]
    said = heard(late)
    assert isinstance(said.refusal, DeadlineExceeded)
    assert said.story
    assert unpacked(said.story).stages.keys() == {"queue"}


def test_a_deadline_that_passes_between_two_steps_ends_the_question_there(engine, sent):
    times = iter([0.0] * 4)
    desk = Desk(engine, sent.append, batch=8, clock=lambda: next(times, 5.0))
    work(desk, asked(1, "a x 1", deadline=4.0))
    assert engine.runs == []
    assert told(sent, 1) == ["FAIL"]


def test_a_run_with_room_waits_for_more_images_where_it_was_told_to(engine, sent):
    desk = Desk(engine, sent.append, batch=2, delay=WAIT)
    desk.post(asked(1, "a x 1"))
    thread = threading.Thread(target=desk.run, daemon=True)
    thread.start()
    desk.post(asked(2, "b x 1"))
    desk.post(Frame(Kind.STOP))
    thread.join(WAIT)
    assert engine.runs == [["a", "b"]]


def test_after_the_delay_a_run_goes_with_what_there_is(engine, sent):
    work(Desk(engine, sent.append, batch=2, delay=0.01), asked(1, "a x 1"))
    assert engine.runs == [["a"]]


def test_a_frame_that_names_no_priority_fails_alone(desk, sent):
    frame = asked(1, "a x 1")
    broken = Frame(frame.kind, 1, frame.body[:8] + b"\x63" + frame.body[9:])
    work(desk, broken, asked(2, "b x 1"))
    assert told(sent, 2) == ANSWERED
    assert isinstance(heard(sent[0]).refusal, InternalError)
