"""What a picture goes through before a model sees it: every detail of a preprocessing, and of the input it makes."""

from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb

CHANNELS = {"RGB": 3, "BGR": 3, "GREY": 1}


@dataclass(frozen=True)
class ImageInput:
    """What the model expects: dtype, layout "NCHW" or "NHWC", and sizes where they are fixed (0: not)."""

    dtype: np.dtype
    layout: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class PictureRecipe:
    """Every detail of a preprocessing, presets and defaults filled in.

    `mean` and `std` hold one value a channel, in the order of `color`, or one for all. `computed_by` is PILLOW or
    GRAPH.
    """

    preset: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    color: str
    fit: str
    crop: float
    interpolation: str
    height: int
    width: int
    computed_by: str

    @property
    def channels(self) -> int:
        return CHANNELS[self.color]

    @property
    def fill(self) -> tuple[int, ...]:
        """The pixel that padding is made of, in the order of the picture: what becomes 0, as nearly as a pixel can."""
        levels = np.broadcast_to(np.rint(self.mean).clip(0, 255).astype(int), (self.channels,))
        return tuple(levels[::-1].tolist() if self.color == "BGR" else levels.tolist())

    def message(self) -> pb.Preprocessing:
        """The recipe as provenance tells it."""
        return pb.Preprocessing(
            preset=self.preset,
            mean=self.mean,
            std=self.std,
            color=f"COLOR_{self.color}",
            fit=f"FIT_{self.fit}",
            height=self.height,
            width=self.width,
            crop=self.crop,
            interpolation=f"INTERPOLATION_{self.interpolation}",
            computed_by=f"COMPUTED_BY_{self.computed_by}",
        )
