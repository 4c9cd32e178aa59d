"""What a method of many passes asks for, one batch at a time, and what it says on the way.

Such a method is a generator. It yields what it asks for and is sent the answer; it yields a Partial
to show how far it has come, and returns an Outcome. It knows no session, thread or gRPC: a test
answers it with three lines of numpy.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Scores:
    """Asks for the scores (n, *scores) of images (n, channels, height, width)."""

    images: Array


@dataclass(frozen=True, eq=False)
class Features:
    """Asks for the features (n, channels, height, width) of images, at the question's layer."""

    images: Array


@dataclass(frozen=True, eq=False)
class Gradients:
    """Asks for d(seed . scores)/d(image) (n * targets, channels, height, width) of n images, images outer.

    `seeds` (n * targets, *scores) are as many for each image. `rules` names modified rules to differentiate by; ""
    are the exact ones.
    """

    images: Array
    seeds: Array
    rules: str = ""


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """Asks for d(seed . scores)/d(features) at the question's layer, of n images; seeds and answer as of Gradients."""

    images: Array
    seeds: Array


@dataclass(frozen=True, eq=False)
class HeadScores:
    """Asks for the scores (n, *scores) that the head makes of features (n, channels, height, width)."""

    features: Array


@dataclass(frozen=True, eq=False)
class HeadGradients:
    """Asks for d(seed . scores)/d(features) of features (n, channels, height, width); as LayerGradients otherwise."""

    features: Array
    seeds: Array


@dataclass(frozen=True, eq=False)
class Blocks:
    """Asks for the last layer of each scale, from the image on, of the image itself: a list of pairs.

    Each is its features (1, channels, height, width) and d(seed . scores)/d(features) (targets, channels, height,
    width), with a seed (targets, *scores) each.
    """

    seeds: Array


@dataclass(frozen=True, eq=False)
class Detections:
    """Asks for all that a detector finds in images (n, channels, height, width): a pair.

    Boxes (n, anchors, 4) as x_min, y_min, x_max, y_max, and probabilities (n, anchors, classes) but the background's.
    """

    images: Array


@dataclass(frozen=True, eq=False)
class Superpixels:
    """Asks for the parts (height, width) of an image, alike in colour: about `count` whole numbers from 0 on.

    The more `compactness`, the squarer they are.
    """

    image: Array
    count: int
    compactness: float


GRADIENT_ASKS = frozenset((Gradients, LayerGradients, HeadGradients, Blocks))
CUT_ASKS = GRADIENT_ASKS | {Features, HeadScores}
"""Those that need the model cut, at a layer or at the image."""

HEAD_ASKS = frozenset((HeadScores, HeadGradients))
"""Those that leave the image as it is."""

Ask = Scores | Features | Gradients | LayerGradients | HeadScores | HeadGradients | Blocks | Detections | Superpixels


@dataclass(frozen=True, eq=False)
class Partial:
    """An outcome as far as it is known; `progress` is between 0 and 1."""

    heatmaps: Array
    progress: float
    facts: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Outcome:
    """The heatmaps (targets, height, width), and what is to be said of each: {name: (targets,)}."""

    heatmaps: Array
    facts: Mapping[str, Array] = field(default_factory=dict)


Asked = TypeVar("Asked")
End = TypeVar("End")
Steps = Generator[Ask | Partial, Any, Outcome]
"""A method at work."""


def drive(
    steps: Generator[Asked | Partial, Any, End], answer: Callable[[Asked], Array]
) -> Iterator[Partial | End | None]:
    """Runs a method to its outcome, which comes last; None after each answer, so that others can have their turn."""
    reply: Array | None = None
    while True:
        try:
            said = steps.send(reply)
        except StopIteration as end:
            yield end.value
            return
        reply = None if isinstance(said, Partial) else answer(said)
        yield said if isinstance(said, Partial) else None


def batches(count: int, size: int) -> Iterator[slice]:
    """The parts of `count` things, at most `size` at a time."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
