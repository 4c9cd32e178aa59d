"""Every kind of target: from what was asked for to the rows that answer it. KINDS has one row a kind."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.engine import classes, detection, neurons, segmentation, similarity
from backlit_server.engine.targets import NO_CLASS, Row
from backlit_server.engine.views import View
from backlit_server.engine.wanted import (
    BEST,
    Combined,
    Contrasted,
    Countered,
    Element,
    Every,
    Kept,
    Masked,
    Near,
    Similar,
    Wanted,
)
from backlit_server.graph.reading.tasks import (
    CLASSIFICATION,
    DETECTION,
    EMBEDDING,
    NEURONS,
    OTHER,
    REGRESSION,
    SEGMENTATION,
)


def rows(wanted: Sequence[Wanted], views: Iterable[View]) -> list[Row]:
    """Every heatmap to make, images outer, targets inner."""
    return [_on_scale(row, view) for view in views for target in wanted for row in KINDS[type(target)](target, view)]


def _on_scale(row: Row, view: View) -> Row:
    """The row, which says so where what it explains is no score but what was made of it."""
    scale = view.about.scale
    return row._replace(said=f"the {scale} of {_words(row)}", scale=scale) if scale else row


def rows_of_images(wanted: Sequence[Wanted], views: Iterable[View]) -> list[Row]:
    """One row an image, for maps that depend on no target: they need none where the task has no default."""
    if any(isinstance(target, Every) for target in wanted):
        raise BadQuestion("this method's map is the same for all classes: leave out the target")
    if any(not isinstance(target, str) or target != BEST for target in wanted):
        return rows(wanted, views)
    return [row for view in views for row in _no_target(view) or rows(wanted, [view])]


def _no_target(view: View) -> list[Row]:
    if view.about.task.kind not in (EMBEDDING, OTHER):
        return []
    return [Row(view.image, (), (), NO_CLASS, math.nan, math.nan, view.about.name)]


def _class(wanted: int, view: View) -> list[Row]:
    return [CLASSES[view.about.task.kind](wanted, view)]


def _top(wanted: str, view: View) -> list[Row]:
    return TOPS[view.about.task.kind](int(wanted.removeprefix("top")), view)


def _seed(seed: np.ndarray, view: View) -> list[Row]:
    scores = view.scores
    if seed.shape != scores.shape:
        raise BadQuestion(f"a seed has the shape of one row of the scores, {scores.shape}; this one has {seed.shape}")
    if not np.isfinite(seed).all():
        raise BadQuestion("the seed holds NaN or infinity")
    seed = seed.astype(scores.dtype)
    places = np.flatnonzero(seed)
    values = seed.ravel()[places]
    single = seed.ndim == 1 and len(places) == 1 and values[0] == 1
    index = int(places[0]) if single else NO_CLASS
    score = float((seed * scores).sum())
    return [Row(view.image, places.tolist(), values.tolist(), index, score, math.nan, view.about.name)]


def _element(wanted: Element, view: View) -> list[Row]:
    shape, index = view.scores.shape, wanted.index
    if not index and view.scores.size == 1:
        return [view.value(0, said="the output itself")]
    valid = len(index) == len(shape) and all(-n <= i < n for i, n in zip(index, shape, strict=True))
    if not valid:
        raise BadQuestion(f"an element has one index an axis of the scores, whose shape is {shape}; got {list(index)}")
    index = tuple(i % n for i, n in zip(index, shape, strict=True))
    if view.about.task.kind == DETECTION and view.about.task.axes:
        anchor, which = index if view.about.task.axes == "AC" else index[::-1]
        return [detection.anchors(view).row(anchor, which, f"class {which} at anchor {anchor}")]
    said = f"the element {list(index)} of the output"
    return [view.value(int(np.ravel_multi_index(index, shape)), said=said)]


def _combination(wanted: Combined, view: View) -> list[Row]:
    """The weighted sum of targets."""
    terms = [(_single(target, view), weight) for target, weight in wanted.terms]
    said = " ".join(f"{weight:+g} x {_words(row)}" for row, weight in terms)
    return [_sum(terms, said, view)]


def _contrast(wanted: Contrasted, view: View) -> list[Row]:
    """One target minus another."""
    row = _single(wanted.target, view)
    foil = _best_other(row, view) if wanted.foil is None else _single(wanted.foil, view)
    made = _sum([(row, 1.0), (foil, -1.0)], f"{_words(row)} rather than {_words(foil)}", view)
    if not len(made.places):
        raise BadQuestion(f"{_words(row)} rather than {_words(foil)}: there is no difference to explain")
    return [made]


def _counterfactual(wanted: Countered, view: View) -> list[Row]:
    """Minus a target (Selvaraju et al., Grad-CAM, 2017, section 3.3)."""
    row = _single(wanted.target, view)
    return [_sum([(row, -1.0)], f"what speaks against {_words(row)}", view)]


def _best_other(row: Row, view: View) -> Row:
    """The best class but that of a row."""
    if row.class_index == NO_CLASS or view.about.task.kind != CLASSIFICATION:
        raise BadQuestion("say what the target is contrasted with: a best other class there is of classifiers only")
    return next(other for other in _top("top2", view) if other.class_index != row.class_index)


def _single(wanted: Wanted, view: View) -> Row:
    found = KINDS[type(wanted)](wanted, view)
    if len(found) != 1:
        raise BadQuestion(f"a term of a combination or contrast is one target; this one is {len(found)}")
    return found[0]


def _sum(terms: Sequence[tuple[Row, float]], said: str, view: View) -> Row:
    """The row of a weighted sum, whose seed is that of its rows."""
    total = np.zeros(view.scores.size)
    for row, weight in terms:
        np.add.at(total, np.asarray(row.places, np.int64), weight * np.asarray(row.values, np.float64))
    score = sum(weight * row.score for row, weight in terms)
    places = np.flatnonzero(total)
    return Row(view.image, places.tolist(), total[places].tolist(), NO_CLASS, score, math.nan, view.about.name, said)


def _words(row: Row) -> str:
    if row.said:
        return row.said if row.said.startswith("class ") else f"({row.said})"
    return "a seed" if row.class_index == NO_CLASS else f"class {row.class_index}"


def all_values(view: View) -> tuple[np.ndarray, np.ndarray]:
    """The scores of all classes, or all values of a vector, in order, and the model's own outputs for them."""
    if view.about.task.kind not in (CLASSIFICATION, REGRESSION, EMBEDDING) or view.scores.size != max(
        view.scores.shape
    ):
        raise BadQuestion(
            f"all classes can be asked for where the scores are one a class; here they are {view.scores.shape} an "
            "image: ask for classes one by one, or for elements"
        )
    return classes.all_classes(view)


def _every(wanted: Every, view: View) -> list[Row]:
    return [_class(index, view)[0] for index in range(len(all_values(view)[0]))]


def _output(count: int, view: View) -> list[Row]:
    """The output of a regression: its one number, or the mean of one number a place."""
    if count != 1:
        raise BadQuestion(f"the top {count} of an output that is one number: ask for the top 1, or for elements")
    return _element(Element(()), view) if view.scores.size == 1 else [segmentation.everywhere(view)]


def _component(index: int, view: View) -> Row:
    if not 0 <= index < view.scores.size:
        raise BadQuestion(f"there is no component {index}; this output has the components 0 to {view.scores.size - 1}")
    return view.value(index, index)


def _no_default(count: int, view: View) -> list[Row]:
    wanting = {
        EMBEDDING: "an embedding has no best class: send a reference that it should be similar to",
        OTHER: "nothing is known of what they stand for: ask for an element of them, or send a seed of their shape",
    }
    task = view.about.task
    raise BadQuestion(
        f"say what to explain of the scores {view.about.name!r}, {view.scores.shape} an image ({task.why}); "
        f"{wanting[task.kind]}"
    )


def _no_classes(index: int, view: View) -> Row:
    if view.scores.ndim == 1:
        return _component(index, view)
    raise BadQuestion(
        f"this model's scores are not one a class but {view.scores.shape} an image: ask for an element "
        "of them, or send a seed of that shape"
    )


TOPS: dict[str, Callable[[int, View], list[Row]]] = {
    CLASSIFICATION: classes.best_classes,
    DETECTION: detection.best_boxes,
    SEGMENTATION: segmentation.dominant_classes,
    REGRESSION: _output,
    EMBEDDING: _no_default,
    OTHER: _no_default,
    NEURONS: neurons.most_active,
}
CLASSES: dict[str, Callable[[int, View], Row]] = {
    CLASSIFICATION: classes.one_class,
    DETECTION: detection.best_box,
    SEGMENTATION: segmentation.where_it_wins,
    REGRESSION: _component,
    EMBEDDING: _component,
    OTHER: _no_classes,
    NEURONS: neurons.channel,
}
MASKS: dict[str, Callable[[Masked, View], Row]] = {NEURONS: neurons.masked}
KINDS: dict[type, Callable[..., list[Row]]] = {
    int: _class,
    str: _top,
    np.ndarray: _seed,
    Element: _element,
    Near: lambda wanted, view: [detection.nearest_box(wanted, view)],
    Kept: lambda wanted, view: [detection.kept_box(wanted, view)],
    Masked: lambda wanted, view: [MASKS.get(view.about.task.kind, segmentation.masked)(wanted, view)],
    Similar: lambda wanted, view: [similarity.similarity(wanted, view)],
    Combined: _combination,
    Contrasted: _contrast,
    Countered: _counterfactual,
    Every: _every,
}
