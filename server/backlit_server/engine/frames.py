"""From pixels of what was sent to pixels of the model's input, and back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backlit_proto.errors import NotExplainable
from backlit_server.engine.decoding import upright_size
from backlit_server.graph import PictureRecipe


@dataclass(frozen=True)
class Frame:
    """input = (sent - start) * scale, both as (x, y); `size` (height, width) is that of the input."""

    start: tuple[float, float]
    scale: tuple[float, float]
    size: tuple[int, int]

    def to_sent(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., x_min, y_min, x_max, y_max) of the input as they lie in what was sent."""
        return boxes / np.tile(self.scale, 2) + np.tile(self.start, 2)

    def to_input(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., x_min, y_min, x_max, y_max) of what was sent as they lie in the input."""
        return (boxes - np.tile(self.start, 2)) * np.tile(self.scale, 2)


Frames = Callable[[int], Frame]
"""The frame of an image of the question, by its index."""


def frames(pictures: Sequence[bytes | np.ndarray], by: PictureRecipe | None, size: tuple[int, int] | None) -> Frames:
    """The frames of pictures prepared by a recipe; of arrays (no recipe), which are inputs of this size themselves."""
    if by is not None:
        return lambda image: FRAMES[by.fit](upright_size(pictures[image]), by)
    return lambda image: _of_array(size)


def _of_array(size: tuple[int, int] | None) -> Frame:
    if size is None:
        raise NotExplainable("no input of this model is an image, so its boxes cannot be told in pixels")
    return Frame((0, 0), (1, 1), size)


def _stretched(size: tuple[int, int], by: PictureRecipe) -> Frame:
    return Frame((0, 0), (by.width / size[0], by.height / size[1]), (by.height, by.width))


def _cropped(size: tuple[int, int], by: PictureRecipe) -> Frame:
    scale = by.crop * min(size[0] / by.width, size[1] / by.height)
    start = (size[0] - scale * by.width) / 2, (size[1] - scale * by.height) / 2
    return Frame(start, (1 / scale, 1 / scale), (by.height, by.width))


def _padded(size: tuple[int, int], by: PictureRecipe) -> Frame:
    scale = min(by.width / size[0], by.height / size[1])
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    scales = width / size[0], height / size[1]
    start = -((by.width - width) // 2) / scales[0], -((by.height - height) // 2) / scales[1]
    return Frame(start, scales, (by.height, by.width))


FRAMES: dict[str, Callable[[tuple[int, int], PictureRecipe], Frame]] = {
    "STRETCH": _stretched,
    "CROP": _cropped,
    "PAD": _padded,
}
