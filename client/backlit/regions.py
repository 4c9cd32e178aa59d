"""From a heatmap to an object: boxes and segments. Needs the extra: pip install 'backlit[regions]'.

explanation.box((480, 640))                       the box of the largest hot region, in pixels of a picture of that size
backlit.boxes(explanation, (480, 640), most=3)    the boxes of several, the largest first
backlit.segment("cat.jpg", explanation)           the object's pixels, cut out along the picture's own edges
backlit.iou(box, truth)                           how well a box fits one that is known

All in pixels of the picture; x_max and y_max are the first column and row behind the box.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backlit.placement import flat, place, seen
from backlit.words import choice
from backlit_proto.errors import BadQuestion

if TYPE_CHECKING:
    from backlit.answers import Explanation

SHARE = 0.15  # of the largest value: from there on a place is hot (Selvaraju et al., Grad-CAM, 2017, section 4.1)
SURE = 0.6  # of the largest value: from there on a place is surely the object's, where a segment is grown
TURNS = 5  # of GrabCut

Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class Region:
    """A connected hot region: its box x_min, y_min, x_max, y_max, its pixels, and its share of all positive heat."""

    corners: Corners
    pixels: int
    heat: float


def boxes(
    explanation: "Explanation | np.ndarray",
    size: tuple[int, int] | None = None,
    *,
    share: float | str = SHARE,
    most: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> list[Region]:
    """The hot regions of a heatmap, the largest first; none where nothing is positive.

    `size` (height, width) is the picture's; without it boxes are in places of the map. `share`: from this share of the
    largest value on a place is hot, or "otsu": from where the values fall apart best (Otsu, 1979). `most` is how many
    regions to return. `input_size` of the model is needed only where the answer does not say it.
    """
    heat = _placed(explanation, size, input_size)
    total = heat.sum()
    found = [
        Region(_corners(region.bbox), int(region.area), float(heat[region.slice][region.image].sum() / total))
        for region in _components(hot(heat, share))
    ]
    return sorted(found, key=lambda region: -region.pixels)[:most]


def segment(
    picture: Any,  # whatever `backlit.pictures.load` reads
    explanation: "Explanation | np.ndarray",
    *,
    by: str = "grabcut",
    share: float | str = SHARE,
    input_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """The object's pixels (height, width of the picture), true or false.

    `by` "threshold": all that is hot. "grabcut": what is hot, grown and cut along the picture's edges and colours
    (Rother et al., GrabCut, 2004), the hottest places being the object's for sure.
    """
    from backlit.pictures import load

    photo = load(picture)
    heat = _placed(explanation, photo.shape[:2], input_size)
    return choice(SEGMENTS, by, "by")(photo, heat, hot(heat, share))


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x_min, y_min, x_max, y_max."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, wide) * max(0.0, tall)
    areas = [max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (one, other)]
    union = sum(areas) - both
    return both / union if union else 0.0


def hot(heat: np.ndarray, share: float | str = SHARE) -> np.ndarray:
    """Which places of a heatmap are hot: none of those that are not positive."""
    if not (heat > 0).any():
        return np.zeros(heat.shape, bool)
    if share == "otsu":
        filters = _needed("skimage.filters")
        return heat > max(0.0, float(filters.threshold_otsu(heat)))
    if isinstance(share, str) or not 0 <= share < 1:
        raise BadQuestion(f"share is a number from 0 to below 1, of the largest value, or 'otsu'; got {share!r}")
    return (heat > 0) & (heat >= share * heat.max())


def _placed(
    explanation: "Explanation | np.ndarray", size: Sequence[int] | None, input_size: tuple[int, int] | None
) -> np.ndarray:
    """The positive part of the heatmap at the picture's size; zero where the model did not look."""
    if isinstance(explanation, np.ndarray):
        heat, by = flat(explanation), None
    else:
        heat, by = flat(explanation.heatmap), explanation.provenance.preprocessing
    if size is not None:
        picture = (int(size[0]), int(size[1]))
        heat = place(heat, seen(picture, by, input_size), picture)
    return np.nan_to_num(heat, nan=0.0).clip(0)


def _components(mask: np.ndarray) -> list[Any]:
    """The connected regions of a mask, diagonals included."""
    measure = _needed("skimage.measure")
    return measure.regionprops(measure.label(mask, connectivity=2))


def _corners(bbox: tuple[int, int, int, int]) -> Corners:
    top, left, bottom, right = bbox
    return left, top, right, bottom


def _grabcut(photo: np.ndarray, heat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    cv2 = _needed("cv2")
    if mask.all() or not mask.any():
        return mask
    given = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    given[heat >= SURE * heat.max()] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    found, _, _ = cv2.grabCut(
        photo[..., ::-1].copy(), given, None, np.zeros((1, 65)), np.zeros((1, 65)), TURNS, cv2.GC_INIT_WITH_MASK
    )
    return (found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD)


SEGMENTS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "grabcut": _grabcut,
    "threshold": lambda photo, heat, mask: mask,
}


def _needed(module: str) -> Any:
    """A module of the extra."""
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise ImportError(
            f"regions need {missing.name}: pip install 'backlit[regions]'", name=missing.name
        ) from missing
