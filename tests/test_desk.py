"""How a worker takes turns, step by step and without a process."""

import threading
from pathlib import Path

import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import InternalError, Overloaded
from backlit_server.story import unpacked
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.credit import ANSWERS
from backlit_server.workers.messages import detach_question, heard
from backlit_server.workers.questions import Desk
from backlit_server.workers.terms import ANYBODY
from toy_engines import Toy

WAIT = 10


class Watched(Toy):
    """A Toy that tells when it is inside a long step, and that it was interrupted."""

    def __init__(self) -> None:
        super().__init__(Path(), "cpu", 1)
        self.inside, self.interrupted = threading.Event(), threading.Event()
        self.closed = 0

    def explain(self, request, tensors):
        try:
            yield from super().explain(request, tensors)
        finally:
            self.closed += 1

    def inner_run(self, request, tensors):
        self.inside.set()
        assert self.interrupted.wait(WAIT)
        raise RuntimeError("the run was interrupted")
        yield

    def interrupt(self) -> None:
        self.interrupted.set()


def asked(number: int, method: str, answers: int = 0) -> Frame:
    question = pb.Question(method=method, layer=str(answers))
    return Frame(Kind.EXPLAIN, number, *detach_question(pb.ExplainRequest(question=question), ANYBODY))


@pytest.fixture
def sent() -> list[Frame]:
    return []


@pytest.fixture
def engine() -> Watched:
    return Watched()


@pytest.fixture
def desk(engine, sent) -> Desk:
    return Desk(engine, sent.append)


def told(frames: list[Frame]) -> list[tuple[str, int]]:
    return [(frame.kind.name, frame.question) for frame in frames]


def test_questions_take_turns_step_by_step(desk, sent):
    for frame in (asked(1, "many", 3), asked(2, "many", 1), Frame(Kind.STOP)):
        desk.post(frame)
    desk.run()
    assert told(sent) == [("ANSWER", 1), ("ANSWER", 2), ("ANSWER", 1), ("END", 2), ("ANSWER", 1), ("END", 1)]


def test_a_question_goes_on_as_its_answers_are_acknowledged(engine, sent):
    def read(frame: Frame) -> None:
        sent.append(frame)
        if frame.kind is Kind.ANSWER:
            desk.post(Frame(Kind.ACK, frame.question))

    desk = Desk(engine, read)
    desk.post(asked(1, "many", 9))
    desk.post(Frame(Kind.STOP))
    desk.run()
    assert told(sent) == [("ANSWER", 1)] * 9 + [("END", 1)]


def test_an_answer_that_is_known_to_be_the_last_ends_its_question(desk, engine, sent):
    for frame in (asked(1, "whole", 2), asked(2, "whole", 1), Frame(Kind.STOP)):
        desk.post(frame)
    desk.run()
    assert told(sent) == [("ANSWER", 1), ("LAST", 2), ("LAST", 1)]
    assert engine.closed == 2
    for frame in sent[1:]:
        said = heard(frame)
        assert said.answer is not None
        assert said.story is not None
        assert said.answer.last
        assert unpacked(said.story).stages.keys() == {"queue", "method", "encode"}


def test_a_last_answer_that_cannot_be_sent_is_a_refusal(engine, sent):
    def short(frame: Frame) -> None:
        if frame.kind is Kind.LAST:
            raise Overloaded("no memory left")
        sent.append(frame)

    desk = Desk(engine, short)
    for frame in (asked(1, "whole", 1), asked(2, "many", 1), Frame(Kind.STOP)):
        desk.post(frame)
    desk.run()
    assert told(sent) == [("FAIL", 1), ("ANSWER", 2), ("END", 2)]
    assert isinstance(heard(sent[0]).refusal, Overloaded)


def test_without_an_acknowledgement_the_step_after_the_credit_is_not_taken(desk, sent):
    desk.post(asked(1, "many", 9))
    thread = threading.Thread(target=desk.run)
    thread.start()
    wait_until(lambda: len(sent) == ANSWERS)
    desk.post(asked(2, "many", ANSWERS - 1))
    wait_until(lambda: ("END", 2) in told(sent))
    assert told(sent).count(("ANSWER", 1)) == ANSWERS
    desk.post(Frame(Kind.CANCEL, 1))
    desk.post(Frame(Kind.STOP))
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.mark.parametrize(("method", "ahead"), [("many", ANSWERS), ("large", 1)])
def test_so_much_may_be_unread(desk, sent, method, ahead):
    """Four small answers, one of a megabyte; as many more as are taken."""
    desk.post(asked(1, method, 9))
    thread = threading.Thread(target=desk.run)
    thread.start()
    for taken in range(3):
        wait_until(lambda taken=taken: len(sent) == taken + ahead)
        desk.post(asked(2 + taken, "many", 0))
        wait_until(lambda taken=taken: ("END", 2 + taken) in told(sent))
        sent.remove(next(frame for frame in sent if frame.kind is Kind.END))
        assert len(sent) == taken + ahead, "it waits, while others are answered"
        desk.post(Frame(Kind.ACK, 1))
    desk.post(Frame(Kind.CANCEL, 1))
    desk.post(Frame(Kind.STOP))
    thread.join(WAIT)
    assert not thread.is_alive()


def test_a_cancel_interrupts_the_step_of_its_own_question_only(desk, engine, sent, caplog):
    desk.post(asked(1, "inner_run"))
    desk.post(asked(2, "many", 1))
    thread = threading.Thread(target=desk.run)
    thread.start()
    assert engine.inside.wait(WAIT)
    desk.post(Frame(Kind.CANCEL, 2))
    assert not engine.interrupted.is_set()
    desk.post(Frame(Kind.CANCEL, 1))
    assert engine.interrupted.is_set()
    desk.post(Frame(Kind.STOP))
    thread.join(WAIT)
    assert told(sent) == [("END", 2), ("END", 1)], "nobody waits for an answer, but for the news that it was let go"
    assert not caplog.records, "an interrupted run is no news"


def test_a_cancel_closes_the_generator_and_an_unknown_one_does_nothing(desk, sent):
    for frame in (asked(1, "endless"), Frame(Kind.CANCEL, 1), Frame(Kind.CANCEL, 99), Frame(Kind.ACK, 99)):
        desk.post(frame)
    desk.post(Frame(Kind.STOP))
    desk.run()
    assert told(sent) == [("END", 1), ("END", 99)]


def test_a_question_that_cannot_be_read_fails_alone(desk, sent):
    desk.post(Frame(Kind.EXPLAIN, 1, b"\xff\xff not a message"))
    desk.post(asked(2, "many", 0))
    desk.post(Frame(Kind.STOP))
    desk.run()
    assert told(sent) == [("FAIL", 1), ("END", 2)]
    assert isinstance(heard(sent[0]).refusal, InternalError)


def wait_until(condition) -> None:
    """A bounded wait for what another thread does."""
    ticks = threading.Event()
    for _ in range(WAIT * 100):
        if condition():
            return
        ticks.wait(0.01)
    pytest.fail("it did not happen")
