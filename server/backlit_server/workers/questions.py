"""The questions of one worker, answered one step each in turn, so that a long method does not starve a quick one."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, InternalError, Overloaded
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.messages import attach_question, detach_answer, pack_refusal

# Answers that may be sent before the caller has taken the first: enough to keep both sides busy, and what an
# unread stream costs.
CREDIT = 4

Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]
"""A response without its heatmaps' bytes, and the heatmaps."""

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What answers questions; every call but interrupt() comes from one thread."""

    provider: str
    device: str
    versions: dict[str, str]

    def explain(
        self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]
    ) -> Generator[Answer | None, None, None]:
        """One answer a step, or None for a step that has none yet; a step takes about one run of a session."""
        ...

    def interrupt(self) -> None:
        """Makes the step in progress return early, from any thread; without one, nothing."""
        ...

    def forget(self, digest: str) -> None:
        """Drops what is held for a deleted model."""
        ...


@dataclass
class Question:
    """One question in progress; the generator holds its tensors, so they live as long as a run may read them."""

    number: int
    steps: Generator[Answer | None, None, None]
    credit: int = CREDIT


class Desk:
    """Takes frames from the thread that reads (`post`), and answers them in the thread that works (`run`)."""

    def __init__(self, engine: Engine, send: Callable[[Frame], None]) -> None:
        self._engine = engine
        self._send = send
        self._inbox: SimpleQueue[Frame] = SimpleQueue()
        self._questions: dict[int, Question] = {}
        # The questions that may take a step. One that is in _questions only is parked: it has no credit left.
        self._turns: deque[Question] = deque()
        self._stopping = False
        self._stepping = threading.Lock()
        self._in_step: Question | None = None
        self._cancelled: set[int] = set()
        self._actions = {
            Kind.EXPLAIN: self._open,
            Kind.CANCEL: self._cancel,
            Kind.ACK: self._acknowledge,
            Kind.FORGET: self._forget,
            Kind.STOP: self._stop,
        }

    def post(self, frame: Frame) -> None:
        """Leaves a frame for the thread that works; a cancelled question takes no further step.

        The one in a step is interrupted, any other is let go at once, whatever the thread that works is at.
        """
        if frame.kind is Kind.CANCEL:
            with self._stepping:
                self._cancelled.add(frame.question)
                in_step = self._in_step is not None and self._in_step.number == frame.question
                if in_step:
                    self._engine.interrupt()
            if not in_step:
                self._send(Frame(Kind.END, frame.question))
        self._inbox.put(frame)

    def run(self) -> None:
        """Works until it was told to stop and has answered everything."""
        while self._questions or not self._stopping:
            frame = self._next_frame()
            if frame is None:
                self._step(self._turns.popleft())
            else:
                self._actions[frame.kind](frame)

    def _next_frame(self) -> Frame | None:
        """The next frame, or None where there is a step to take meanwhile."""
        try:
            return self._inbox.get(block=not self._turns)
        except Empty:
            return None

    def _step(self, question: Question) -> None:
        if question.number not in self._questions or not self._entered(question):
            return  # it was cancelled while it waited for its turn
        try:
            self._pass_on(question, next(question.steps))
        except StopIteration:
            self._close(question, lambda: Frame(Kind.END, question.number))
        except Exception as error:  # whatever a model makes the engine raise, the worker lives on
            self._close(question, lambda error=error: failed(question.number, error))
        finally:
            self._leave(question)

    def _entered(self, question: Question) -> bool:
        """Whether the question may take a step, which can be interrupted from here on."""
        with self._stepping:
            self._in_step = None if question.number in self._cancelled else question
            return self._in_step is not None

    def _leave(self, question: Question) -> None:
        with self._stepping:
            self._in_step = None
            cancelled = question.number in self._cancelled
        if cancelled:
            self._send(Frame(Kind.END, question.number))

    def _pass_on(self, question: Question, answer: Answer | None) -> None:
        if answer is not None and question.number not in self._cancelled:
            body, blobs = detach_answer(*answer)
            self._send(Frame(Kind.ANSWER, question.number, body, blobs))
            question.credit -= 1
        if question.credit:
            self._turns.append(question)

    def _close(self, question: Question, last: Callable[[], Frame]) -> None:
        del self._questions[question.number]
        self._abandon(question)
        if question.number not in self._cancelled:
            self._send(last())

    def _open(self, frame: Frame) -> None:
        try:
            steps = self._engine.explain(*attach_question(frame.body, frame.blobs))
        except Exception as error:  # as in _step
            self._send(failed(frame.question, error))
            return
        question = self._questions[frame.question] = Question(frame.question, steps)
        self._turns.append(question)

    def _cancel(self, frame: Frame) -> None:
        self._cancelled.discard(frame.question)
        question = self._questions.pop(frame.question, None)
        if question is not None:  # else it ended while the cancel was on its way
            self._abandon(question)

    def _abandon(self, question: Question) -> None:
        try:
            question.steps.close()
        except Exception:  # as in _step, but nobody waits for an answer
            log.exception("question %d did not end cleanly", question.number)

    def _acknowledge(self, frame: Frame) -> None:
        question = self._questions.get(frame.question)
        if question is None:
            return
        question.credit += 1
        if question.credit == 1:
            self._turns.append(question)

    def _forget(self, frame: Frame) -> None:
        try:
            self._engine.forget(frame.body.decode())
        except Exception:  # as in _abandon
            log.exception("a deleted model could not be forgotten")

    def _stop(self, frame: Frame) -> None:
        self._stopping = True


def failed(question: int, error: Exception) -> Frame:
    """The frame that refuses a question; what is not a refusal of ours goes to the log, not to the caller."""
    return Frame(Kind.FAIL, question, pack_refusal(refusal(error)))


def refusal(error: Exception) -> BacklitError:
    """The error as a caller may see it."""
    if isinstance(error, BacklitError):
        return error
    log.error("an error that is not a refusal", exc_info=error)
    if isinstance(error, MemoryError):
        return Overloaded("the worker has no memory left for this question; send fewer images or targets at once")
    return InternalError("backlit failed at this question; the server's log says why")
