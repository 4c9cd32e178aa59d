"""What a measure is given, and what it finds.

A measure is a generator over one heatmap, of one image and one target. Like a method of many passes it yields what it
asks for and is sent the answer; it returns what it found. Its keyword-only arguments are its parameters.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from backlit_server.methods.asking import Array, Ask
from backlit_server.methods.parameters import Range


@dataclass(frozen=True)
class Each:
    """One number or more, all of a range."""

    range: Range

    def __str__(self) -> str:
        return f"{self.range}, at least one"

    def checked(self, convert: Callable[[Any], tuple[float, ...]]) -> Callable[[Any], tuple[float, ...]]:
        """The conversion, for such numbers alone."""

        def within(given: Any) -> tuple[float, ...]:
            values = convert(given)
            if not values or any(value not in self.range for value in values):
                raise ValueError(values)
            return values

        return within


Share = Annotated[float, Range(0, 1)]
Fill = Literal["zero", "black", "mean", "blur"]
Score = Literal["probability", "score"]
Box = tuple[float, ...]
"""x_min, y_min, x_max, y_max."""


@dataclass(frozen=True)
class Effort:
    """What a heatmap took: passes of the whole network, back to the image, of the head alone; seconds of the worker."""

    forward: float
    backward: float
    head: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Subject:
    """A heatmap and what it is of.

    heatmap   (height, width)           raw and signed, at the layer's own resolution
    image     (1, channels, H, W)       as the model takes it
    seed      (*scores)                 d(target)/d(scores)
    scores    (1, *scores)              of the image
    rated     scores (n, *scores), "probability" or "score" -> (n,), how the target is rated
    black     () -> (channels, 1, 1)    the model's input where a picture is black
    located   box in pixels of what was sent -> the box in pixels of the model's input
    batch     how many images to send at once
    """

    heatmap: Array
    image: Array
    seed: Array
    scores: Array
    rated: Callable[[Array, Score], Array]
    black: Callable[[], Array]
    located: Callable[[Box], Box]
    batch: int
    effort: Effort

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[2], self.image.shape[3]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a measure found: one number, what else there is to say of it by name, and its course where it has one."""

    value: float
    facts: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Heatmaps:
    """Asks for the heatmaps (n, height, width) of images by the question's own method, layer and target."""

    images: Array


@dataclass(frozen=True, eq=False)
class ShuffledHeatmap:
    """Asks for the heatmap (1, height, width) by a model whose last `layers` layers have their weights shuffled.

    Layers are counted from the scores; `seed` is that of the shuffling. Otherwise as Heatmaps.
    """

    image: Array
    layers: int
    seed: int


Measuring = Generator[Ask | Heatmaps | ShuffledHeatmap, Any, Measured]
"""A measure at work."""
