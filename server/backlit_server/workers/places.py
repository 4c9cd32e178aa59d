"""How many questions may be in flight, and how many of them one caller's."""

from collections import Counter

from backlit_proto.errors import Overloaded

GENEROSITY = 4
SECONDS_WEIGHT = 0.1  # of the last question in how long one takes
SHORTEST_WAIT, LONGEST_WAIT = 0.1, 30.0  # seconds, before a caller asks again


class Places:
    """So many questions may be in flight, and of one caller's GENEROSITY times as many as there are places free.

    So one caller alone can have most of them, and those who come after him still find some (dynamic thresholds:
    Choudhury and Hahne, 1998).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = Counter[str]()
        self._seconds = 0.0  # that a question takes, of late

    def take(self, caller: str) -> None:
        """A place for a question; Overloaded where the caller may have no more."""
        free = self._limit - self._held.total()
        if not free:
            raise self._overload(f"{self._limit} questions are in flight, as many as this server takes")
        if (held := self._held[caller]) >= GENEROSITY * free:
            raise self._overload(f"{held} questions of yours are in flight, and the other places are kept for others")
        self._held[caller] += 1

    def give_back(self, caller: str, seconds: float) -> None:
        """The place of a question that took so long."""
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        self._seconds += SECONDS_WEIGHT * (seconds - self._seconds)

    def _overload(self, why: str) -> Overloaded:
        """By the time that questions take at present, the next one ends in a share of it."""
        wait = min(LONGEST_WAIT, max(SHORTEST_WAIT, self._seconds / self._limit))
        return Overloaded(f"{why}; ask again in {wait:.1f} s", retry_seconds=f"{wait:.3f}")
