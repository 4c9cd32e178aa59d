"""Whose step is next: callers have equal shares of a worker's time, whatever their steps take, audits a tenth of one.

Self-clocked fair queueing (Golestani, 1994): the seconds that a caller was given are counted, those of audits ten
times, and whoever will have had least after the next step is next. What a step will take nobody knows: it is taken for
as long as the one before. Who comes starts level with whoever was served last, so that nobody saves up time by staying
away, or has more of it by coming again and again under new names.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from backlit_server.story import Story
from backlit_server.workers.answering import Answer, Pass
from backlit_server.workers.credit import Credit
from backlit_server.workers.terms import ANYBODY, Priority, Terms

CHARGED = {Priority.INTERACTIVE: 1.0, Priority.AUDIT: 10.0}
"""What a second counts."""

Flow = tuple[str, Priority]
"""Those who have a share together: one caller's questions of one priority."""


@dataclass(eq=False)
class Question:
    """One question in progress; the generator holds its tensors, so they live as long as a run may read them.

    `opened` says whether it has taken a step, `waiting` what pass it waits for, and `since` when; since `queued` it has
    waited for its turn; `story` is what has become of it so far.
    """

    number: int
    steps: Generator[Answer | Pass | None, None, None]
    terms: Terms = ANYBODY
    credit: Credit = field(default_factory=Credit)
    opened: bool = False
    waiting: Pass | None = None
    since: float = 0.0
    queued: float = 0.0
    story: Story = field(default_factory=Story)

    @property
    def flow(self) -> Flow:
        return self.terms.caller, self.terms.priority


@dataclass
class Share:
    """What a flow has been given, and how much of that by its last step."""

    spent: float
    last: float = 0.0


class Turns:
    """The questions that may take a step."""

    def __init__(self) -> None:
        self._ready: dict[Question, None] = {}  # those who have waited longest come first
        self._shares: dict[Flow, Share] = {}
        self._level = 0.0  # what the flow served last had spent by then

    def __bool__(self) -> bool:
        return bool(self._ready)

    def enter(self, question: Question) -> None:
        """The question, new or back, may take steps from now on."""
        here = {other.flow for other in self._ready}
        if question.flow not in here:
            # Who is gone and has spent no more than who comes now need not be remembered.
            self._shares = {flow: s for flow, s in self._shares.items() if flow in here or s.spent > self._level}
            self._shares.setdefault(question.flow, Share(self._level))
        self._ready[question] = None

    def leave(self, question: Question) -> None:
        self._ready.pop(question, None)

    def order(self) -> Sequence[Question]:
        """Whose turn it is, and who would be next."""
        if len(self._ready) == 1:
            return [*self._ready]
        after = {flow: share.spent + share.last for flow, share in self._shares.items()}
        return sorted(self._ready, key=lambda question: (after[question.flow], question.terms.priority))

    def took(self, question: Question, seconds: float) -> None:
        """The question had its turn, and goes behind the others of its flow."""
        self.charge(question, seconds)
        if question in self._ready:
            del self._ready[question]
            self._ready[question] = None

    def charge(self, question: Question, seconds: float) -> None:
        """What was done for a question took so long."""
        share = self._shares[question.flow]
        share.last = CHARGED[question.terms.priority] * seconds
        share.spent += share.last
        self._level = max(self._level, share.spent)
