"""Targets as typed at the command line: a class, top3, or a word with what it needs behind a colon."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backlit.contrasts import Contrast, Counterfactual, LogOdds, Probability
from backlit.kinds import Box, Detection, Element, Mask, Similar, Target

ABOUT_TARGETS = (
    "class index or name, top3 or all; contrast:A,B for class A rather than B (without B: than the best other one), "
    "against:A for what speaks against it, probability:A and log-odds:A instead of its score; of detectors "
    "box:X,Y,X,Y[,CLASS] or detection:K; of segmentations mask:FILE.npy[,CLASS]; of embeddings similar:FILE.npy; of "
    "any scores element:I[,J]; repeatable; default: what the card's task says"
)


def read_target(text: str) -> int | str | Target:
    """The target; a text that starts with none of the words is a class, or top3."""
    word, colon, rest = text.partition(":")
    if not colon or word not in SPOKEN:
        return _class(text)
    try:
        return SPOKEN[word](*rest.split(","))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read ({error}); a target is: {ABOUT_TARGETS}") from None


def _class(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _contrast(target: str, foil: str | None = None) -> Target:
    return Contrast(_class(target), None if foil is None else _class(foil))


def _box(x_min: str, y_min: str, x_max: str, y_max: str, of: str | None = None) -> Target:
    return Box(float(x_min), float(y_min), float(x_max), float(y_max), None if of is None else _class(of))


def _mask(file: str, of: str | None = None) -> Target:
    return Mask(None if of is None else _class(of), _array(file))


def _array(file: str) -> np.ndarray:
    try:
        return np.load(Path(file), allow_pickle=False)
    except OSError as error:
        raise ValueError(error) from None


SPOKEN: dict[str, Callable[..., Target]] = {
    "contrast": _contrast,
    "against": lambda *words: Counterfactual(read_target(",".join(words))),
    "probability": lambda *words: Probability(read_target(",".join(words))),
    "log-odds": lambda *words: LogOdds(read_target(",".join(words))),
    "element": lambda *index: Element(tuple(int(i) for i in index)),
    "box": _box,
    "detection": lambda index: Detection(int(index)),
    "mask": _mask,
    "similar": lambda file: Similar(_array(file)),
}
