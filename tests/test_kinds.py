"""Targets as objects and as words of the command line: how they travel, and what is refused before it does."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from backlit import (
    BadQuestion,
    Box,
    Class,
    Contrast,
    Counterfactual,
    Detection,
    Element,
    LogOdds,
    Mask,
    Probability,
    Similar,
    Target,
)
from backlit.specs import TensorSpec
from backlit.spoken import read_target
from backlit.targets import encode_targets, scale_of
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_array, to_tensor

SCORES = TensorSpec("scores", "float32", (-1, 3), ("N", ""))
MASK = np.array([[True, False], [False, True]])
BOX = pb.Box(x_min=1, y_min=2, x_max=3, y_max=4.5)
TRAVELS = {
    "class": (Class(3), pb.Target(class_index=3)),
    "class by name": (Class("cat"), pb.Target(class_name="cat")),
    "element": (Element((17, -1)), pb.Target(element=pb.Element(index=[17, -1]))),
    "element of one axis": (Element(3), pb.Target(element=pb.Element(index=[3]))),
    "only element": (Element(), pb.Target(element=pb.Element())),
    "box": (Box(1, 2, 3, 4.5), pb.Target(box=pb.BoxTarget(box=BOX))),
    "box of a class": (Box(1, 2, 3, 4.5, of="cat"), pb.Target(box=pb.BoxTarget(box=BOX, class_name="cat"))),
    "detection": (Detection(0), pb.Target(detection=0)),
    "where a class wins": (Mask(2), pb.Target(mask=pb.MaskTarget(class_index=2, reduction="REDUCTION_MEAN"))),
    "mask": (
        Mask(where=MASK, reduce="sum"),
        pb.Target(mask=pb.MaskTarget(weights=to_tensor(MASK), reduction="REDUCTION_SUM")),
    ),
    "contrast": (
        Contrast(3, "cat"),
        pb.Target(contrast=pb.Contrast(target=pb.Target(class_index=3), foil=pb.Target(class_name="cat"))),
    ),
    "contrast with the best other": (
        Contrast("top1"),
        pb.Target(contrast=pb.Contrast(target=pb.Target(top=1))),
    ),
    "counterfactual": (Counterfactual(3), pb.Target(counterfactual=pb.Target(class_index=3))),
    "probability": (Probability(3), pb.Target(class_index=3)),
    "log-odds": (LogOdds("top3"), pb.Target(top=3)),
    "similar": (
        Similar([1, 2, 3]),
        pb.Target(
            similarity=pb.SimilarityTarget(
                reference=to_tensor(np.array([1, 2, 3], np.float32)), measure="MEASURE_COSINE"
            )
        ),
    ),
}


@pytest.mark.parametrize("name", TRAVELS)
def test_a_target_travels_as_what_it_is(name: str):
    target, message = TRAVELS[name]
    assert encode_targets(target, SCORES) == [message]
    assert encode_targets([target, "top2"], SCORES) == [message, pb.Target(top=2)]


def test_all_classes_are_a_word():
    assert encode_targets("all", SCORES) == [pb.Target(all=True)]
    assert encode_targets(Class("all"), SCORES) == [pb.Target(class_name="all")]


@pytest.mark.parametrize(
    ("target", "scale"),
    [
        (None, ""),
        ([3, "top2", Class(1)], ""),
        (np.ones(3), ""),
        (Probability("top3"), "probability"),
        ([LogOdds(1), LogOdds(2) - LogOdds(3)], "log-odds"),
        (Contrast(Probability(1), Probability(2)), "probability"),
        (Counterfactual(Probability(1)), "probability"),
        (Probability(Contrast(1)), "probability"),
    ],
)
def test_the_scale_of_a_question_is_that_of_all_its_targets(target: object, scale: str):
    assert scale_of(target) == scale


@pytest.mark.parametrize(
    "target", [[3, Probability(3)], Contrast(1, LogOdds(2)), LogOdds(1) - Class(2), [Probability(1), LogOdds(1)]]
)
def test_one_question_is_about_one_scale(target: object):
    with pytest.raises(BadQuestion, match="ask for each in a question of its own"):
        scale_of(target)


def test_a_probability_of_log_odds_means_nothing():
    with pytest.raises(BadQuestion, match="the probability of a log-odds means nothing"):
        scale_of(Probability(LogOdds(3)))


@pytest.mark.parametrize(
    ("target", "terms"),
    [
        (Class(1) - Class(2), [(1, 1), (2, -1)]),
        (-Class(1), [(1, -1)]),
        (2 * Class(1) + 0.5 * (Class(2) - Class(3)), [(1, 2), (2, 0.5), (3, -0.5)]),
        (Class(1) - (Class(2) - Class(3)), [(1, 1), (2, -1), (3, 1)]),
    ],
)
def test_targets_add_up(target: Target, terms: list[tuple[int, float]]):
    (message,) = encode_targets(target, SCORES)
    assert [(term.target.class_index, term.weight) for term in message.combination.terms] == terms


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Class(1.5), "a class is an index or a name"),  # pyright: ignore[reportArgumentType]
        (Class(True), "a class is an index or a name"),
        (Element("a"), "an element is an index"),  # pyright: ignore[reportArgumentType]
        (Box(1, 2, 3, "4"), "x_min, y_min, x_max, y_max"),  # pyright: ignore[reportArgumentType]
        (Detection(-1), "counted from 0"),
        (Mask(reduce="median"), "'mean', 'sum'"),
        (Mask(where="mask.npy"), "an array of numbers; got str"),
        (Similar([1.0], measure="euclid"), "'cosine', 'dot'"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(target: Target, said: str):
    with pytest.raises(BadQuestion, match=said):
        encode_targets(target, SCORES)


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("281", 281),
        ("tabby", "tabby"),
        ("nothing: a name", "nothing: a name"),
        ("top3", "top3"),
        ("element:17,1", Element((17, 1))),
        ("box:1,2,3,4.5", Box(1, 2, 3, 4.5)),
        ("box:1,2,3,4.5,cat", Box(1, 2, 3, 4.5, of="cat")),
        ("detection:2", Detection(2)),
    ],
)
def test_a_target_is_said_in_words(words: str, target: object):
    assert read_target(words) == target


def test_a_contrast_and_arrays_are_said_in_words(tmp_path: Path):
    (contrast,) = encode_targets(read_target("contrast:3,cat"), SCORES)
    assert (contrast.contrast.target.class_index, contrast.contrast.foil.class_name) == (3, "cat")
    against = read_target("probability:against:3")
    assert (scale_of(against), encode_targets(against, SCORES)) == (
        "probability",
        [pb.Target(counterfactual=pb.Target(class_index=3))],
    )
    assert scale_of(read_target("log-odds:contrast:3,cat")) == "log-odds"
    np.save(tmp_path / "a.npy", MASK)
    (mask,) = encode_targets(read_target(f"mask:{tmp_path / 'a.npy'},3"), SCORES)
    assert mask.mask.class_index == 3
    np.testing.assert_array_equal(to_array(mask.mask.weights), MASK)
    (similar,) = encode_targets(read_target(f"similar:{tmp_path / 'a.npy'}"), SCORES)
    np.testing.assert_array_equal(to_array(similar.similarity.reference), MASK)


@pytest.mark.parametrize(
    "words", ["box:1,2,3", "element:a", "detection:", "mask:nowhere.npy", "contrast:3,4,5", f"similar:{__file__}"]
)
def test_words_that_cannot_be_read_are_refused_with_the_grammar(words: str):
    with pytest.raises(argparse.ArgumentTypeError, match=r"box:X,Y,X,Y\[,CLASS\]"):
        read_target(words)
