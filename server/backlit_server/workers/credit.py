"""How much of a stream may be on its way before its caller has taken the first of it."""

from collections import deque
from dataclasses import dataclass, field

ANSWERS = 4
"""Enough to keep both sides busy."""

BYTES = 1 << 20
"""Where answers are large, one that is read while the next is made keeps both sides as busy, and is what an unread
stream costs."""


@dataclass
class Credit:
    """The answers of one question that were sent and not taken yet: `unread` are their sizes, oldest first."""

    unread: deque[int] = field(default_factory=deque)

    def __bool__(self) -> bool:
        """Whether another answer may be sent, whatever its size."""
        return len(self.unread) < ANSWERS and sum(self.unread) < BYTES

    def sent(self, size: int) -> None:
        """An answer of so many bytes is on its way."""
        self.unread.append(size)

    def taken(self) -> None:
        """The caller has taken the oldest."""
        self.unread.popleft()
