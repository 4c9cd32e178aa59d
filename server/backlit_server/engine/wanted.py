"""What can be asked for: a frozen class for each kind of target, and how it is read from its message."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion

BEST = "top1"  # what is explained where a question does not say

Take = Callable[[pb.Tensor], np.ndarray]
"""The array of a tensor in the question, whose bytes travelled apart."""


@dataclass(frozen=True)
class Element:
    """One value of the scores: an index an axis, none where there is only one value."""

    index: tuple[int, ...]


@dataclass(frozen=True)
class Near:
    """The anchor whose box fits best; `corners` x_min, y_min, x_max, y_max, in pixels of what was sent."""

    corners: tuple[float, float, float, float]
    class_index: int | None


@dataclass(frozen=True)
class Kept:
    """A box that the file's NonMaxSuppression kept."""

    index: int


@dataclass(frozen=True, eq=False)
class Masked:
    """A class over a mask (height, width); None: the class that wins there most, or the mask where the class wins."""

    class_index: int | None
    weights: np.ndarray | None
    total: bool


@dataclass(frozen=True, eq=False)
class Similar:
    """Cosine or dot product with a reference of the scores' shape."""

    reference: np.ndarray
    measure: str


@dataclass(frozen=True, eq=False)
class Combined:
    """A weighted sum."""

    terms: tuple[tuple["Wanted", float], ...]


@dataclass(frozen=True, eq=False)
class Contrasted:
    """One target rather than another; None: than the best of the other classes."""

    target: "Wanted"
    foil: "Wanted | None"


@dataclass(frozen=True, eq=False)
class Countered:
    """What speaks against a target."""

    target: "Wanted"


@dataclass(frozen=True)
class Every:
    """Each class, or each value of a vector."""


Wanted = int | str | np.ndarray | Element | Near | Kept | Masked | Similar | Combined | Contrasted | Countered | Every
"""A class index, "top5" and the like, a seed, or one of the above."""


def read_target(target: pb.Target, take: Take) -> Wanted:
    """What a message asks for; BadQuestion where it asks for nothing that there is."""
    kind = target.WhichOneof("kind") or ""
    if kind not in READERS:
        raise BadQuestion(
            "a target is a class index, a class name of a model that has class names, top k, or one of "
            f"{', '.join(name for name in READERS if name not in ('class_index', 'top'))}"
        )
    return READERS[kind](target, take)


def _top(target: pb.Target, take: Take) -> Wanted:
    if target.top == 0:
        raise BadQuestion("the top 0 classes: ask for at least 1")
    return f"top{target.top}"


def _near(target: pb.Target, take: Take) -> Wanted:
    box = target.box.box
    corners = (box.x_min, box.y_min, box.x_max, box.y_max)
    if not (np.isfinite(corners).all() and box.x_min < box.x_max and box.y_min < box.y_max):
        raise BadQuestion(f"a box is x_min, y_min, x_max, y_max in pixels, the maxima the larger ones; got {corners}")
    return Near(corners, _class_of(target.box))


def _masked(target: pb.Target, take: Take) -> Wanted:
    mask = target.mask
    weights = take(mask.weights) if mask.HasField("weights") else None
    return Masked(_class_of(mask), weights, mask.reduction == pb.MaskTarget.REDUCTION_SUM)


def _similar(target: pb.Target, take: Take) -> Wanted:
    measure = "dot" if target.similarity.measure == pb.SimilarityTarget.MEASURE_DOT else "cosine"
    return Similar(take(target.similarity.reference), measure)


def _combined(target: pb.Target, take: Take) -> Wanted:
    terms = tuple((read_target(term.target, take), term.weight) for term in target.combination.terms)
    if not terms or not np.isfinite([weight for _, weight in terms]).all():
        raise BadQuestion("a combination has at least one term, each with a finite weight")
    return Combined(terms)


def _contrasted(target: pb.Target, take: Take) -> Wanted:
    first = read_target(target.contrast.target, take)
    return Contrasted(first, read_target(target.contrast.foil, take) if target.contrast.HasField("foil") else None)


def _every(target: pb.Target, take: Take) -> Wanted:
    if not target.all:
        raise BadQuestion("a target whose `all` is false asks for nothing: leave it out, or say true")
    return Every()


def _class_of(message: pb.BoxTarget | pb.MaskTarget) -> int | None:
    return message.class_index if message.WhichOneof("of") else None


READERS: dict[str, Callable[[pb.Target, Take], Wanted]] = {
    "class_index": lambda target, take: target.class_index,
    "top": _top,
    "seed": lambda target, take: take(target.seed),
    "element": lambda target, take: Element(tuple(target.element.index)),
    "box": _near,
    "detection": lambda target, take: Kept(target.detection),
    "mask": _masked,
    "similarity": _similar,
    "combination": _combined,
    "contrast": _contrasted,
    "counterfactual": lambda target, take: Countered(read_target(target.counterfactual, take)),
    "all": _every,
}
