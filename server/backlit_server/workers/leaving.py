"""Whose step is in progress, and who has left: told by the thread that listens, asked by the one that works."""

import threading
from collections.abc import Callable, Sequence

from backlit_server.workers.turns import Question


class Leaving:
    """Questions that were cancelled, by number. A run is interrupted when all whom it is for are among them."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._cancelled: set[int] = set()
        self._in_step: Sequence[int] = ()

    def __contains__(self, question: int) -> bool:
        return question in self._cancelled

    def cancel(self, question: int) -> bool:
        """Whether it can be let go at once, since it is in no step; otherwise end() tells of it."""
        with self._lock:
            self._cancelled.add(question)
            present = question in self._in_step
            if present and self._cancelled.issuperset(self._in_step):
                self._interrupt()
        return not present

    def let_go(self, question: int) -> None:
        """Nothing is left of it."""
        self._cancelled.discard(question)

    def begin(self, questions: Sequence[Question]) -> Sequence[Question]:
        """Those of the questions that are still asked; their run can be interrupted from here on."""
        with self._lock:
            there = [question for question in questions if question.number not in self._cancelled]
            self._in_step = [question.number for question in there]
        return there

    def end(self) -> Sequence[int]:
        """Those who have left since it began."""
        with self._lock:
            left = [question for question in self._in_step if question in self._cancelled]
            self._in_step = ()
        return left
