"""What people say about a model: name, preprocessing, class names. Checked before any of it is stored."""

import math

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.methods.presets import preset

MOST_CLASSES = 100_000
LARGEST_SIDE = 8192


def check_preprocessing(given: pb.Preprocessing) -> None:
    """BadQuestion for what no picture can be prepared by."""
    if given.preset:
        preset(given.preset)
    if not all(math.isfinite(number) for number in (*given.mean, *given.std, given.crop)):
        raise BadQuestion("the preprocessing holds a number that is not finite")
    if 0 in given.std:
        raise BadQuestion("the preprocessing divides by a std of 0")
    if not 0 <= given.crop <= 1:
        raise BadQuestion(f"the preprocessing keeps {given.crop} of the shorter side: crop lies between 0 and 1")
    if max(given.height, given.width) > LARGEST_SIDE:
        raise BadQuestion(f"the preprocessing makes pictures of {given.height} x {given.width}: {LARGEST_SIDE} at most")


def check_class_names(count: int, card: pb.Card) -> None:
    """BadQuestion when the number of names is not that of the classes, as far as the file tells it."""
    if count > MOST_CLASSES:
        raise BadQuestion(f"{count} class names: {MOST_CLASSES} at most")
    sizes = list(card.scores.tensor.shape)[1:]
    if not count or not sizes or any(size <= 0 for size in sizes):
        return
    scores = math.prod(sizes)
    # One score behind a sigmoid stands for two classes.
    valid = (1, 2) if scores == 1 else (scores,)
    if count not in valid:
        raise BadQuestion(
            f"the model has {scores} classes and {count} class names were given; give one a class, in order"
        )
