"""How a heatmap colours a photograph: what speaks for the target alone, or what speaks against it too."""

from collections.abc import Sequence

import matplotlib
import numpy as np

STRONGEST = 0.75  # opacity of the hottest spot: the photograph stays readable under it
FINE = 64 * 64  # places of a map, from which on they are pixels rather than regions
LEAST = 0.01  # of the strongest value: below zero by less is rounding
FADED = 0.7  # how near to white the photograph is under single pixels of two colours
GREY = (0.299, 0.587, 0.114)  # of red, green and blue, by ITU-R BT.601
FOR, AGAINST = (0.75, 0.0, 0.1), (0.05, 0.25, 0.75)


def warmed(photo: np.ndarray, heat: np.ndarray, heatmap: np.ndarray, colors: str) -> np.ndarray:
    """The photo (height, width, 3), 0 to 1, below the positive part of the heat (height, width), NaN where unseen.

    Of a map that is positive everywhere, as of mean scores, below what its smallest value is exceeded by.
    """
    low, hottest = max(0.0, float(heatmap.min())), brightest(heatmap)
    shares = np.nan_to_num(np.clip(heat - low, 0, hottest - low) / (hottest - low) if hottest > low else heat * 0)
    alpha = STRONGEST * shares[..., np.newaxis]
    return photo * (1 - alpha) + matplotlib.colormaps[colors](shares)[..., :3] * alpha


def two_colored(photo: np.ndarray, heat: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The photo, faded and grey, below red for what speaks for the target and blue for what speaks against it."""
    strongest = brightest(np.abs(heatmap))
    shares = np.nan_to_num(np.clip(heat / strongest, -1, 1))[..., np.newaxis]
    faded = FADED + (1 - FADED) * (photo @ np.array(GREY, np.float32))[..., np.newaxis]
    alpha = np.abs(shares)
    return faded * (1 - alpha) + np.where(shares > 0, FOR, AGAINST) * alpha


def two_sided(heatmap: np.ndarray, steps: Sequence[str]) -> bool:
    """Whether both signs of a map are drawn: it tells of single pixels, as the method made it, and some speak against.

    Maps of regions are drawn as their papers do, by what speaks for the target.
    """
    enlarged = any(step.startswith("resize") for step in steps)
    return heatmap.size >= FINE and not enlarged and heatmap.min() < -LEAST * np.abs(heatmap).max()


def brightest(heatmap: np.ndarray) -> float:
    """The value drawn in full colour: the largest, or of a map of single pixels the 99th percentile above zero.

    A few pixels far above all others would else leave the rest of a gradient in the dark.
    """
    positive = heatmap[heatmap > 0]
    if not positive.size:
        return 0.0
    return float(positive.max() if heatmap.size < FINE else np.percentile(positive, 99))
