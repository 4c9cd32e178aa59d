"""Versions of an image whose maps are averaged: flipped left to right, and brighter or darker."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Version:
    """An image, flipped left to right or not, its values times a factor."""

    flipped: bool = False
    factor: float = 1

    def of(self, image: np.ndarray, columns: int) -> np.ndarray:
        """The image in this version; `columns` is the axis of its columns."""
        turned = np.flip(image, columns) if self.flipped else image
        if image.dtype.kind in "ui":
            limits = np.iinfo(image.dtype)
            turned = np.rint(turned * self.factor).clip(limits.min, limits.max)
        else:
            turned = turned * self.factor
        return np.ascontiguousarray(turned, image.dtype)

    def back(self, heatmaps: np.ndarray) -> np.ndarray:
        return heatmaps[..., ::-1] if self.flipped else heatmaps


FLIPS, FACTORS = (False, True), (1.0, 0.9, 1.1)
AS_IT_IS = (Version(),)
AUGMENTED = tuple(Version(flipped, factor) for flipped in FLIPS for factor in FACTORS)
AVERAGED = "mean of six versions: flipped and not, times 1, 0.9 and 1.1"
