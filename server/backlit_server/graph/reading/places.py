"""Where in the picture each element of a tensor is, arithmetic on it: joining, merging, reading axes off it.

Positions are followed and not parsed from patterns: exporters write patches, windows, shifts and class tokens in
dozens of ways, and all of them are moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORDERS = {3: ("NCW", "NWC"), 4: ("NCHW", "NHWC", "NCWH", "NWHC")}  # of axes that need no further telling


@dataclass(frozen=True, eq=False)
class Places:
    """`index`: image * height * width + row * width + column + 1, and 0 for no place, as a class token has none.

    It has the rank of its tensor; an axis along which nothing changes has size 1. `grid` is (height, width).
    """

    grid: tuple[int, int]
    index: np.ndarray

    def of(self, shape: Sequence[int]) -> np.ndarray:
        """The index of every element of the tensor, a view."""
        return np.broadcast_to(self.index, tuple(shape))

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image, row and column of each entry of the index; those of 0 mean nothing."""
        image, place = np.divmod(self.index - 1, self.grid[0] * self.grid[1])
        return image, *np.divmod(place, self.grid[1])


def grid_of(axes: str, shape: Sequence[int], images: int) -> Places | None:
    """The places of a tensor that is a map itself; None where it has one place only, or counts no images."""
    size = dict(zip(axes, shape, strict=True))
    height, width = size.get("H", 1), size["W"]
    if size["N"] != images or height * width < 2:
        return None
    index = np.arange(1, images * height * width + 1, dtype=np.int32).reshape(images, height, width)
    named = "NHW" if "H" in size else "NW"
    kept = index if "H" in size else index[:, 0]
    order = sorted(named, key=axes.index)
    turned = kept.transpose([named.index(axis) for axis in order])
    return Places((height, width), turned.reshape([1 if axis == "C" else size[axis] for axis in axes]))


def compressed(grid: tuple[int, int], index: np.ndarray) -> Places | None:
    """Places with axes of one where nothing changes; None where nothing has a place."""
    for axis, length in enumerate(index.shape):
        first = index[(slice(None),) * axis + (slice(1),)]
        if length > 1 and (index.strides[axis] == 0 or np.array_equal(np.broadcast_to(first, index.shape), index)):
            index = first
    return Places(grid, index) if index.any() else None


def joined(parts: Sequence[Places], rank: int) -> Places | None:
    """The places of what is computed from these, element by element; None where they contradict each other.

    What has no place takes that of its partner.
    """
    if not parts or len({part.grid for part in parts}) > 1:
        return None
    first, *others = parts
    if not others and first.index.ndim == rank:
        return first
    index = first.index.reshape((1,) * (rank - first.index.ndim) + first.index.shape)
    for other in others:
        if other.index is first.index:
            continue
        if ((index != other.index) & (index > 0) & (other.index > 0)).any():
            return None
        index = np.maximum(index, other.index)
    return Places(first.grid, index)


def merged(places: Places, axes: tuple[int, ...]) -> Places | None:
    """The places of what sums along these axes, which stay with size 1.

    Where a sum joins the pixels of one patch, and all sums do so with patches of one size side by side, the patches
    are the places from there on. None where a sum joins others.
    """
    if all(places.index.shape[axis] == 1 for axis in axes):
        return places
    rest = tuple(axis for axis in range(places.index.ndim) if axis not in axes)
    kept = tuple(1 if axis in axes else length for axis, length in enumerate(places.index.shape))
    groups = places.index.transpose(*rest, *axes).reshape(int(np.prod(kept)), -1)
    groups = np.sort(groups, 1)
    somewhere = groups[:, -1] > 0
    if not somewhere.any() or (groups[somewhere] == 0).any():
        return None
    patches = _patches(Places(places.grid, groups[somewhere]))
    if patches is None:
        return None
    index = np.zeros(len(groups), np.int32)
    index[somewhere] = patches.index
    return Places(patches.grid, index.reshape(kept))


def _patches(groups: Places) -> Places | None:
    """The place of each patch among patches, from the places in it, which lie in rows in ascending order."""
    image, row, column = groups.parts()
    top, left = row.min(1), column.min(1)
    heights, widths = row.max(1) - top + 1, column.max(1) - left + 1
    height, width = int(heights[0]), int(widths[0])
    down, across = groups.grid[0] // height, groups.grid[1] // width
    alike = (heights == height).all() and (widths == width).all() and (image == image[:, :1]).all()
    aligned = not ((top % height).any() or (left % width).any() or groups.grid != (down * height, across * width))
    full = ((np.diff(groups.index, axis=1) != 0).sum(1) + 1 == height * width).all()
    if not (alike and aligned and full) or down * across < 2:
        return None
    return Places((down, across), image[:, 0] * (down * across) + top // height * across + left // width + 1)


def axes_in_order(places: Places, shape: Sequence[int]) -> str:
    """Which axes are images, channels, rows and columns, "" where no axis is the rows or the columns in their order.

    A border without places and a cut-off edge leave them in order, and so do repeated rows.
    """
    for axes in ORDERS.get(len(shape), ()):
        if places.index.shape[axes.index("C")] > 1:
            continue
        image, row, column = places.parts()
        told = {"N": image, "H": row, "W": column} if "H" in axes else {"N": image * places.grid[0] + row, "W": column}
        if all(_rises(part, places.index > 0, axes.index(axis)) for axis, part in told.items()):
            return axes
    return ""


def _rises(part: np.ndarray, somewhere: np.ndarray, axis: int) -> bool:
    """Whether a coordinate depends on this axis alone, and never falls along it."""
    others = tuple(k for k in range(part.ndim) if k != axis)
    low = np.where(somewhere, part, np.iinfo(np.int32).max).min(others)
    high = np.where(somewhere, part, -1).max(others)
    found = high >= 0
    return bool((low[found] == high[found]).all() and (np.diff(high[found]) >= 0).all())
