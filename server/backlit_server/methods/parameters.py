"""What a parameter of a method may be: the types that signatures are written in.

A signature says all there is to know of a parameter: `masks: Count = 4000` is a whole number from 1 to a million.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both among them."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"from {self.low:,} to {self.high:,}"

    def checked(self, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The conversion, for values of the range alone."""

        def within(given: Any) -> Any:
            value = convert(given)
            if value not in self:
                raise ValueError(value)
            return value

        return within


Seed = Annotated[int, Range(0, 2**53 - 1)]  # what the wire's doubles tell apart
