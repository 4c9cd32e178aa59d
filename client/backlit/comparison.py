"""Methods compared by measures over the same pictures: the numbers, their means and standard errors."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backlit.answers import Explanation
from backlit.measures import Measurement

CONTEXT = ("fill", "normalisation", "score")  # parameters that no number can be compared without


@dataclass(frozen=True)
class Wanted:
    """A method or a measure with its parameters; `label` is how it was asked for, such as "rise:masks=500"."""

    label: str
    name: str
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class Value:
    """One number: of a picture, a method and a measure (both by label)."""

    picture: str
    method: str
    measure: str
    target: str
    status: str
    measurement: Measurement


@dataclass(frozen=True)
class Mean:
    """The mean over the values that are finite, its standard error (NaN for a single one), and how many they are."""

    mean: float
    error: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """What was found. `pictures` answered every method; `skipped` did not, with the reason.

    `images` is the SHA-256 of the pictures' digests: numbers compare only over the same pictures. `better` says by
    measure which values are, "higher" or "lower".
    """

    model: str
    methods: Sequence[str]
    measures: Sequence[str]
    better: Mapping[str, str]
    pictures: Sequence[str]
    skipped: Mapping[str, str]
    images: str
    values: Sequence[Value]

    def mean(self, method: str, measure: str) -> Mean:
        """Over all pictures, and targets where there are several."""
        return mean([v.measurement.value for v in self._of(method, measure)])

    def context(self, measure: str) -> dict[str, object]:
        """What a measure's numbers go with: its parameters by name, and how targets were chosen."""
        first = next((v.measurement for v in self.values if v.measure == measure), None)
        return {**dict(sorted(first.parameters.items())), "target": first.target_choice} if first else {}

    def _of(self, method: str, measure: str) -> Iterator[Value]:
        return (v for v in self.values if (v.method, v.measure) == (method, measure))


def mean(values: Sequence[float]) -> Mean:
    """Of the finite ones among the values."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Mean(math.nan, math.nan, 0)
    middle, count = math.fsum(finite) / len(finite), len(finite)
    squares = math.fsum((value - middle) ** 2 for value in finite)
    return Mean(middle, math.sqrt(squares / (count - 1) / count) if count > 1 else math.nan, count)


def values_of(picture: str, method: str, measures: Sequence[Wanted], found: Sequence[Explanation]) -> Iterator[Value]:
    """The numbers of one answer."""
    for explanation in found:
        for measure, measurement in zip(measures, explanation.measurements, strict=True):
            yield Value(picture, method, measure.label, explanation.subject, explanation.status, measurement)


def list_digest(pictures: Sequence[Path]) -> str:
    """The SHA-256 of the pictures' own, in their order."""
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in pictures)).hexdigest()
