"""The questions of one worker: a step each in fair turns, and passes that several wait for in one run."""

import logging
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from backlit_proto.errors import DeadlineExceeded
from backlit_server.story import ENCODE, QUEUE, Story, packed
from backlit_server.workers.answering import Answer, Engine, Pass
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.figures import figures
from backlit_server.workers.leaving import Leaving
from backlit_server.workers.messages import attach_question, detach_answer, with_story
from backlit_server.workers.refusals import failed
from backlit_server.workers.sharing import first, full, images, together
from backlit_server.workers.turns import Question, Turns

log = logging.getLogger(__name__)


class Desk:
    """Takes frames from the thread that reads (`post`), and answers them in the thread that works (`run`).

    `batch` is how many images share a run at most, `delay` for how many seconds a run with room waits for more.
    """

    def __init__(
        self,
        engine: Engine,
        send: Callable[[Frame], None],
        *,
        batch: int = 1,
        delay: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._send = send
        self._batch, self._delay, self._clock = batch, delay, clock
        self._inbox: SimpleQueue[Frame] = SimpleQueue()
        self._questions: dict[int, Question] = {}
        # The questions that may take a step. One that is in _questions only is parked: it has no credit left.
        self._turns = Turns()
        self._stopping = False
        self._leaving = Leaving(engine.interrupt)
        self._spare, self._ready = engine.warm_up(), False
        self._actions = {
            Kind.EXPLAIN: self._open,
            Kind.CANCEL: self._cancel,
            Kind.ACK: self._acknowledge,
            Kind.FORGET: self._forget,
            Kind.STOP: self._stop,
        }

    def post(self, frame: Frame) -> None:
        """Leaves a frame for the thread that works; a cancelled question takes no further step.

        One that is in no step is let go at once, whatever the thread that works is at.
        """
        if frame.kind is Kind.CANCEL and self._leaving.cancel(frame.question):
            self._send(Frame(Kind.END, frame.question))
        if frame.kind is Kind.LOOK:
            self._send(figures(frame.question, self._engine.figures()))
            return
        self._inbox.put(frame)

    def run(self) -> None:
        """Works until it was told to stop and has answered everything; while nobody asks, the engine makes ready."""
        while self._questions or not self._stopping:
            frame = self._next_frame()
            if frame is not None:
                self._actions[frame.kind](frame)
            elif self._turns:
                self._take_turn()
            else:
                self._prepare()

    def _prepare(self) -> None:
        """A step of what nobody asked for."""
        try:
            next(self._spare)
        except StopIteration:
            self._ready = True
        except Exception:  # as in _step, but nobody waits for an answer
            log.exception("the engine could not make ready")
            self._ready = True

    def _next_frame(self) -> Frame | None:
        """The next frame, or None where there is a step to take meanwhile."""
        pause = self._pause() if self._turns else None if self._ready else 0
        try:
            return self._inbox.get(block=pause != 0, timeout=pause)
        except Empty:
            return None

    def _pause(self) -> float:
        """For how many seconds nothing has to be done."""
        order = self._turns.order() if self._delay else ()
        if not order or self._due(order):
            return 0
        return max(0.0, min(question.since for question in order) + self._delay - self._clock())

    def _take_turn(self) -> None:
        order = [question for question in self._turns.order() if self._in_time(question)]
        if due := self._due(order):
            question = first(due, self._batch)
            if len(sharing := together(question, order, self._batch)) > 1:
                self._join(sharing)
            self._step(question)

    def _due(self, order: Sequence[Question]) -> Sequence[Question]:
        """Whose turn may be now: passes that leave room for more images in their run wait for them a while."""
        if not self._delay or full(order, self._batch):
            return order
        latest = self._clock() - self._delay
        return [question for question in order if question.waiting is None or question.since <= latest]

    def _in_time(self, question: Question) -> bool:
        """Whether its caller still waits; otherwise it ends here, before anything is done for it."""
        if question.terms.deadline > self._clock():
            return True
        late = DeadlineExceeded("the deadline passed while the question waited for its turn; allow more time")
        self._waited(question, self._clock())
        self._close(question, lambda: failed(question.number, late, packed(question.story)))
        return False

    def _join(self, questions: Sequence[Question]) -> None:
        """Makes the passes that these wait for in one run; where that fails, each makes its own."""
        started, several, story = self._clock(), images(questions), Story()
        self._engine.watch.begin(story)
        try:
            if len(there := self._leaving.begin(questions)) > 1:
                self._engine.run([question.waiting for question in there])
        except Exception as error:  # of one of them, perhaps; who is to blame will be told in a step of his own
            log.info("a run for %d questions failed, each goes on alone: %s", len(questions), error)
        finally:
            self._engine.watch.end()
            self._end()
        each = (self._clock() - started) / several
        for question in questions:
            self._turns.charge(question, each * images([question]))
            question.waiting = None
            self._waited(question, started)
            question.story.share(story)
        questions[0].story.runs |= story.runs

    def _step(self, question: Question) -> None:
        if not self._leaving.begin([question]):
            self._turns.leave(question)
            return  # it was cancelled while it waited for its turn
        started, question.opened, question.waiting = self._clock(), True, None
        self._waited(question, started)
        self._engine.watch.begin(question.story)
        try:
            self._pass_on(question, next(question.steps))
        except StopIteration:
            self._close(question, lambda: Frame(Kind.END, question.number, packed(question.story)))
        except Exception as error:  # whatever a model makes the engine raise, the worker lives on
            self._close(question, lambda error=error: failed(question.number, error, packed(question.story)))
        finally:
            self._engine.watch.end()
            self._turns.took(question, self._clock() - started)
            question.queued = self._clock()
            self._end()

    def _waited(self, question: Question, until: float) -> None:
        question.story.add(QUEUE, question.queued, until)
        question.queued = self._clock()

    def _end(self) -> None:
        for number in self._leaving.end():
            self._send(Frame(Kind.END, number))

    def _pass_on(self, question: Question, said: Answer | Pass | None) -> None:
        if isinstance(said, tuple):
            self._answer(question, said)
        elif said is not None:
            question.waiting, question.since = said, self._clock()

    def _answer(self, question: Question, answer: Answer) -> None:
        if question.number in self._leaving:
            return
        number, watch = question.number, self._engine.watch
        body, blobs = watch.call(ENCODE, lambda: detach_answer(*answer))
        if answer[0].last:
            self._close(question, lambda: Frame(Kind.LAST, number, with_story(packed(question.story), body), blobs))
            return
        watch.call(ENCODE, lambda: self._send(Frame(Kind.ANSWER, number, body, blobs)))
        question.credit.sent(len(body) + sum(map(len, blobs)))
        if not question.credit:
            self._turns.leave(question)

    def _close(self, question: Question, last: Callable[[], Frame]) -> None:
        """Ends a question with a frame, which may tell its whole story: nothing is done for it any more."""
        self._engine.watch.end()
        if question.number not in self._leaving:
            self._send(last())
        del self._questions[question.number]
        self._turns.leave(question)
        self._abandon(question)

    def _open(self, frame: Frame) -> None:
        try:
            terms, request, tensors = attach_question(frame.body, frame.blobs)
            steps = self._engine.explain(request, tensors)
        except Exception as error:  # as in _step
            self._send(failed(frame.question, error))
            return
        question = self._questions[frame.question] = Question(frame.question, steps, terms, queued=self._clock())
        self._turns.enter(question)

    def _cancel(self, frame: Frame) -> None:
        self._leaving.let_go(frame.question)
        question = self._questions.pop(frame.question, None)
        if question is not None:  # else it ended while the cancel was on its way
            self._turns.leave(question)
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
        parked = not question.credit
        question.credit.taken()
        if parked and question.credit:
            question.queued = self._clock()
            self._turns.enter(question)

    def _forget(self, frame: Frame) -> None:
        try:
            self._engine.forget(frame.body.decode())
        except Exception:  # as in _abandon
            log.exception("a deleted model could not be forgotten")

    def _stop(self, frame: Frame) -> None:
        self._stopping = True
