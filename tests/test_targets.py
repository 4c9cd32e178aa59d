"""Targets by hand: what each kind of target explains of given scores, and its seed beside finite differences."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.target_kinds import rows, rows_of_images
from backlit_server.engine.targets import NO_CLASS, seeds
from backlit_server.engine.wanted import (
    Combined,
    Contrasted,
    Countered,
    Element,
    Kept,
    Masked,
    Near,
    Similar,
    Wanted,
)
from backlit_server.graph import Scores
from said_scores import about, one, seen

rng = np.random.default_rng(41)
VECTOR = rng.normal(size=6)
MAPS = rng.normal(size=(3, 4, 5))
ANCHORS = rng.normal(size=(7, 3))
REFERENCE = rng.normal(size=6)
MASK = rng.random((4, 5))
WINS = MAPS.argmax(0) == 1
CLASSES = about("classification", "C")
SEGMENTS = about("segmentation", "CHW")
NHWC = about("segmentation", "HWC")
DETECTOR = about("detection", "AC", "Sigmoid")


def cosine(y: np.ndarray) -> Any:
    return y @ REFERENCE / math.sqrt((y @ y) * (REFERENCE @ REFERENCE))


@dataclass(frozen=True)
class Case:
    """A target of some scores, and T of them in plain numpy."""

    wanted: Wanted
    said: Scores
    scores: np.ndarray
    formula: Callable[[np.ndarray], Any]


CASES = {
    "a class": Case(4, CLASSES, VECTOR, lambda y: y[4]),
    "a class of scores with empty axes": Case(2, CLASSES, VECTOR.reshape(6, 1, 1), lambda y: y[2, 0, 0]),
    "an element": Case(Element((1, -1)), about("other"), ANCHORS, lambda y: y[1, 2]),
    "an element of maps": Case(Element((2, 0, 3)), SEGMENTS, MAPS, lambda y: y[2, 0, 3]),
    "one number": Case(Element(()), about("regression"), VECTOR[:1], lambda y: y[0]),
    "one number by default": Case("top1", about("regression"), VECTOR[:1], lambda y: y[0]),
    "one number a place by default": Case("top1", about("regression", "CHW"), MAPS[:1], lambda y: y.mean()),
    "cosine": Case(Similar(REFERENCE, "cosine"), about("embedding"), VECTOR, cosine),
    "cosine of any scores": Case(Similar(REFERENCE, "cosine"), CLASSES, VECTOR, cosine),
    "dot": Case(Similar(REFERENCE, "dot"), about("embedding"), VECTOR, lambda y: y @ REFERENCE),
    "contrast": Case(Combined(((4, 1.0), (1, -1.0))), CLASSES, VECTOR, lambda y: y[4] - y[1]),
    "one class rather than another": Case(Contrasted(4, 1), CLASSES, VECTOR, lambda y: y[4] - y[1]),
    "one class rather than the best other": Case(
        Contrasted(int(VECTOR.argmin()), None), CLASSES, VECTOR, lambda y: y[VECTOR.argmin()] - y[VECTOR.argmax()]
    ),
    "the best class rather than the next": Case(
        Contrasted("top1", None), CLASSES, VECTOR, lambda y: y[VECTOR.argmax()] - y[VECTOR.argsort()[-2]]
    ),
    "against a class": Case(Countered(2), CLASSES, VECTOR, lambda y: -y[2]),
    "against what is not linear": Case(Countered(Similar(REFERENCE, "cosine")), CLASSES, VECTOR, lambda y: -cosine(y)),
    "down": Case(Combined(((Element((3,)), -1.0),)), CLASSES, VECTOR, lambda y: -y[3]),
    "sum of what is not linear": Case(
        Combined(((Similar(REFERENCE, "cosine"), 2.0), (0, 0.5))), CLASSES, VECTOR, lambda y: 2 * cosine(y) + y[0] / 2
    ),
    "mask": Case(Masked(1, MASK, False), SEGMENTS, MAPS, lambda y: (y[1] * MASK).sum() / MASK.sum()),
    "mask, sum": Case(Masked(1, MASK, True), SEGMENTS, MAPS, lambda y: (y[1] * MASK).sum()),
    "mask of truth values": Case(Masked(2, MASK > 0.5, False), SEGMENTS, MAPS, lambda y: y[2][MASK > 0.5].mean()),
    "where it wins": Case(Masked(1, None, False), SEGMENTS, MAPS, lambda y: y[1][WINS].mean()),
    "a class of a segmentation": Case(1, SEGMENTS, MAPS, lambda y: y[1][WINS].mean()),
    "channels last": Case(1, NHWC, MAPS.transpose(1, 2, 0), lambda y: y[..., 1][WINS].mean()),
    "mask, channels last": Case(
        Masked(0, MASK, False), NHWC, MAPS.transpose(1, 2, 0), lambda y: (y[..., 0] * MASK).sum() / MASK.sum()
    ),
    "foreground of a single map": Case(
        1, about("segmentation", "CHW", "Sigmoid"), MAPS[:1], lambda y: y[0][MAPS[0] > 0].mean()
    ),
    "background of a single map": Case(
        0, about("segmentation", "CHW", "Sigmoid"), MAPS[:1], lambda y: -y[0][MAPS[0] <= 0].mean()
    ),
    "best box of a class": Case(2, DETECTOR, ANCHORS, lambda y: y[ANCHORS[:, 2].argmax(), 2]),
    "best box": Case("top1", DETECTOR, ANCHORS, lambda y: y.ravel()[ANCHORS.argmax()]),
    "anchors last": Case(2, about("detection", "CA"), ANCHORS.T, lambda y: y[2, ANCHORS[:, 2].argmax()]),
    "element of a detector": Case(Element((5, 1)), DETECTOR, ANCHORS, lambda y: y[5, 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_score_is_t_and_the_seed_its_gradient(name: str):
    case = CASES[name]
    row = one(case.wanted, seen(case.scores, case.said))
    assert row.score == pytest.approx(case.formula(case.scores))
    (seed,) = seeds([row], case.scores.shape, np.dtype(np.float64))
    assert seed == pytest.approx(differences(case.formula, case.scores), abs=1e-7)


def differences(formula: Callable[[np.ndarray], Any], y: np.ndarray) -> np.ndarray:
    """The gradient by central differences."""
    step = 1e-6
    found = np.zeros_like(y)
    for index in np.ndindex(y.shape):
        moved = np.zeros_like(y)
        moved[index] = step
        found[index] = (formula(y + moved) - formula(y - moved)) / (2 * step)
    return found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Contrasted(4, 1), "class 4 rather than class 1"),
        (
            Countered(Contrasted(4, Element((0,)))),
            "what speaks against class 4 rather than (the element [0] of the output)",
        ),
    ],
)
def test_what_was_explained_is_said_in_words(wanted: Wanted, said: str):
    assert one(wanted, seen(VECTOR, CLASSES)).said == said
    probabilities = replace(CLASSES, scale="probability")
    assert one(4, seen(VECTOR, probabilities)).said == "the probability of class 4"


def test_one_score_behind_a_sigmoid_is_two_classes():
    said = about("classification", "C", "Sigmoid", binary=True)
    for score in (-1.5, 0.5):
        view = replace(seen(np.array([score]), said), outputs=np.array([0.25]))
        against, for_it, (best,) = one(0, view), one(1, view), rows(["top1"], [view])
        assert (against.score, against.values, against.output) == (-score, (-1.0,), 0.75)
        assert (for_it.score, for_it.values, for_it.output) == (score, (1.0,), 0.25)
        assert best.class_index == (score > 0)


def test_the_dominant_class_of_a_segmentation_is_that_which_wins_most_places():
    scores = np.zeros((3, 2, 4))
    scores[2, 0] = scores[2, 1, 0] = scores[0, 1, 1] = 1
    scores[1, 1, 2:] = 1
    best, second = rows(["top2"], [seen(scores, SEGMENTS)])
    assert (best.class_index, second.class_index, best.score) == (2, 1, 1)
    assert best.said == "the mean of class 2 over the 5 places where it wins"
    assert sorted(best.places) == [16, 17, 18, 19, 20]
    with pytest.raises(BadQuestion, match="3 win any place"):
        rows(["top4"], [seen(scores, SEGMENTS)])
    assert one(Masked(None, np.diag([1.0, 2])[:, [0, 1, 1, 1]], False), seen(scores, SEGMENTS)).class_index == 1


REFUSED = {
    "an embedding without a reference": ("top1", about("embedding"), VECTOR, "send a reference"),
    "scores of which nothing is known": ("top1", about("other"), ANCHORS, "ask for an element of them, or send a seed"),
    "a class of which nothing is known": (0, about("other"), ANCHORS, "ask for an element"),
    "a class that is not there": (6, CLASSES, VECTOR, "0 to 5"),
    "too many classes": ("top7", CLASSES, VECTOR, "top 7 classes of a model with 6"),
    "a component that is not there": (1, about("regression"), VECTOR[:1], "components 0 to 0"),
    "two of one number": ("top2", about("regression"), VECTOR[:1], "top 2 of an output that is one number"),
    "an element beyond": (Element((7, 0)), about("other"), ANCHORS, r"\(7, 3\); got \[7, 0\]"),
    "an element of other axes": (Element((1,)), about("other"), ANCHORS, "one index an axis"),
    "a reference of another size": (Similar(VECTOR[:3], "dot"), CLASSES, VECTOR, r"\(6,\); got \(3,\)"),
    "a reference of length 0": (Similar(VECTOR * 0, "cosine"), CLASSES, VECTOR, "length 0"),
    "a reference that is not finite": (Similar(VECTOR * np.nan, "dot"), CLASSES, VECTOR, "NaN"),
    "a mask of another size": (Masked(0, MASK[:2], False), SEGMENTS, MAPS, r"\(4, 5\); got \(2, 5\)"),
    "a mask of nothing": (Masked(0, MASK * 0, False), SEGMENTS, MAPS, "not zero everywhere"),
    "a mask of less than nothing": (Masked(0, -MASK, False), SEGMENTS, MAPS, "nowhere negative"),
    "a class that wins nowhere": (0, SEGMENTS, MAPS - [[[9]], [[0]], [[0]]], "class 0 wins no place"),
    "a class that no map has": (3, SEGMENTS, MAPS, "wins no place"),
    "a class that no mask can be of": (Masked(3, MASK, False), SEGMENTS, MAPS, "0 to 2"),
    "several in a term": (Combined((("top2", 1.0),)), CLASSES, VECTOR, "combination or contrast is one target"),
    "a contrast of a class with itself": (Contrasted(2, 2), CLASSES, VECTOR, "no difference to explain"),
    "a contrast with the best other of no classes": (
        Contrasted(Element((3,)), None),
        CLASSES,
        VECTOR,
        "say what the target is contrasted with",
    ),
    "a contrast with several": (Contrasted(2, "top2"), CLASSES, VECTOR, "contrast is one target; this one is 2"),
    "a seed of another shape": (VECTOR[:3], CLASSES, VECTOR, "a seed has the shape"),
    "a class no anchor has": (3, DETECTOR, ANCHORS, "0 to 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_explained_is_refused_with_the_way_out(name: str):
    wanted, said, scores, words = REFUSED[name]
    with pytest.raises(BadQuestion, match=words):
        one(wanted, seen(scores, said))


@pytest.mark.parametrize("wanted", [Near((0, 0, 1, 1), None), Kept(0), Masked(0, MASK, False)])
def test_boxes_and_masks_have_no_meaning_for_classifiers(wanted: Wanted):
    with pytest.raises(NotExplainable):
        one(wanted, seen(VECTOR, CLASSES))


def test_a_box_of_a_detector_without_boxes_is_refused():
    with pytest.raises(NotExplainable, match="has no boxes: ask for an element"):
        one(Near((0, 0, 1, 1), None), seen(ANCHORS, DETECTOR))


def test_maps_that_depend_on_no_target_need_none():
    blank, asked = (rows_of_images([wanted], [seen(VECTOR, about("embedding"))])[0] for wanted in ("top1", 3))
    assert (blank.class_index, len(blank.places)) == (NO_CLASS, 0)
    assert (asked.class_index, asked.score) == (3, VECTOR[3])
    assert rows_of_images(["top1"], [seen(VECTOR, CLASSES)])[0].class_index == VECTOR.argmax()
