"""What a heatmap can explain beside a class: targets as objects that add up.

backlit.Class(281) - backlit.Class(285)         what speaks for one class rather than for another
-backlit.Element(0)                             what makes a number small
backlit.Box(110, 30, 170, 80, of="face")        a detector's score at the anchor that fits a box best
backlit.Mask(of=3, where=mask)                  a segmentation's score of a class over a mask
backlit.Similar(reference)                      what makes an embedding similar to another one
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from backlit.words import full_name
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_tensor


class Target(ABC):
    """A number made of one image's scores. Targets add, subtract, and take weights."""

    @abstractmethod
    def message(self) -> pb.Target:
        """The target as it travels; BadQuestion where it cannot be meant."""

    @property
    def scale(self) -> str:
        """What of the scores it is about: "" for themselves, "probability" or "log-odds"."""
        return ""

    def __add__(self, other: "Target") -> "Sum":
        return Sum((*_terms(self), *_terms(other)))

    def __sub__(self, other: "Target") -> "Sum":
        return self + -1 * other

    def __neg__(self) -> "Sum":
        return -1 * self

    def __mul__(self, weight: float) -> "Sum":
        return Sum(tuple((target, weight * own) for target, own in _terms(self)))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Class(Target):
    """A class, by index or name. Of a detector: its best box. Of a segmentation: its mean score where it wins."""

    of: int | str

    def message(self) -> pb.Target:
        return pb.Target(**_class(self.of))


@dataclass(frozen=True)
class Element(Target):
    """One value of the scores, by an index an axis without the batch; without any, the only one there is."""

    index: int | tuple[int, ...] = ()

    def message(self) -> pb.Target:
        index = self.index if isinstance(self.index, tuple | list) else (self.index,)
        if not all(isinstance(i, Integral) for i in index):
            raise BadQuestion(f"an element is an index, or a tuple of one an axis of the scores; got {self.index!r}")
        return pb.Target(element=pb.Element(index=index))


@dataclass(frozen=True)
class Box(Target):
    """A detector's score at the anchor whose box overlaps most with this one.

    In pixels of the picture that is sent, or of the input where an array is. `of`: a class by index or name; without
    it the best one at that anchor, but for the background.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    of: int | str | None = None

    def message(self) -> pb.Target:
        sides = (self.x_min, self.y_min, self.x_max, self.y_max)
        if not all(isinstance(side, Real) for side in sides):
            raise BadQuestion(f"a box is x_min, y_min, x_max, y_max in pixels; got {sides}")
        box = pb.Box(x_min=self.x_min, y_min=self.y_min, x_max=self.x_max, y_max=self.y_max)
        return pb.Target(box=pb.BoxTarget(box=box, **_class(self.of)))


@dataclass(frozen=True)
class Detection(Target):
    """A box that the model's own NonMaxSuppression kept, in the order of its selected indices."""

    index: int

    def message(self) -> pb.Target:
        if not isinstance(self.index, Integral) or self.index < 0:
            raise BadQuestion(f"detections are counted from 0; got {self.index!r}")
        return pb.Target(detection=int(self.index))


@dataclass(frozen=True, eq=False)
class Mask(Target):
    """A segmentation's score of a class over a mask; `reduce` is "mean" or "sum".

    `where` (height, width of the scores) holds truth values or weights; without it, the places where the class wins.
    `of`: a class by index or name; without it, the one that wins most of those places.
    """

    of: int | str | None = None
    where: object = None
    reduce: str = "mean"

    def message(self) -> pb.Target:
        reduction = full_name(pb.MaskTarget.Reduction, self.reduce, "reduce")
        mask = pb.MaskTarget(reduction=reduction, **_class(self.of))
        if self.where is not None:
            mask.weights.CopyFrom(to_tensor(_numbers(self.where, "a mask")))
        return pb.Target(mask=mask)


@dataclass(frozen=True, eq=False)
class Similar(Target):
    """How similar the scores are to a reference of their shape; `measure` is "cosine" or "dot"."""

    reference: object
    measure: str = "cosine"

    def message(self) -> pb.Target:
        measure = full_name(pb.SimilarityTarget.Measure, self.measure, "measure")
        reference = to_tensor(_numbers(self.reference, "a reference"))
        return pb.Target(similarity=pb.SimilarityTarget(reference=reference, measure=measure))


@dataclass(frozen=True, eq=False)
class Sum(Target):
    """Targets with their weights; made by adding them."""

    terms: tuple[tuple[Target, float], ...]

    @property
    def scale(self) -> str:
        return common_scale([target for target, _ in self.terms])

    def message(self) -> pb.Target:
        terms = [pb.Combination.Term(target=target.message(), weight=weight) for target, weight in self.terms]
        return pb.Target(combination=pb.Combination(terms=terms))


def common_scale(targets: Iterable[object]) -> str:
    """The one scale that all these targets are about; BadQuestion where they differ."""
    scales = {target.scale if isinstance(target, Target) else "" for target in targets}
    if len(scales) > 1:
        told = ", ".join(sorted(scale or "score" for scale in scales))
        raise BadQuestion(f"one question is about one of {told}: ask for each in a question of its own")
    return next(iter(scales), "")


def _terms(target: Target) -> tuple[tuple[Target, float], ...]:
    return target.terms if isinstance(target, Sum) else ((target, 1.0),)


def _class(of: int | str | None) -> dict:
    """The fields that name a class."""
    if of is None:
        return {}
    if isinstance(of, str):
        return {"class_name": of}
    if isinstance(of, bool) or not isinstance(of, Integral):
        raise BadQuestion(f"a class is an index or a name; got {of!r}")
    return {"class_index": int(of)}


def _numbers(given: object, what: str) -> np.ndarray:
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise BadQuestion(f"{what} is an array of numbers; got {type(given).__name__}")
    return array if array.dtype.kind == "b" else array.astype(np.float32)
