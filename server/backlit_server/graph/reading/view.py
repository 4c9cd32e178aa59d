"""A tensor read as maps: which of its axes are images, channels, rows and columns, or tokens, and where tokens are."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from backlit_server.graph.reading.places import Places, axes_in_order, compressed


@dataclass(frozen=True)
class View:
    """How to read a tensor as (images, channels, height, width).

    `axes` names them: N images, C channels, H height, W width, T tokens; brackets hold several in one axis, the outer
    first. Of tokens `sizes` are those of the named axes (-1: images), and `tokens` says which one stands at each place,
    row by row; `others` of them are at no place, as a class token. `size` is (height, width), -1 where it is free.
    """

    axes: str
    size: tuple[int, int]
    sizes: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    others: int = 0

    @property
    def roles(self) -> str:
        """The axes without brackets."""
        return "".join(self.held)

    @property
    def held(self) -> tuple[str, ...]:
        """What each axis of the tensor holds."""
        return tuple(axis.strip("()") for axis in re.findall(r"\w|\(\w+\)", self.axes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a tensor with tokens, -1 where an axis counts images; () of another."""
        sizes = iter(self.sizes)
        within = [[*islice(sizes, len(axis))] for axis in self.held]
        return tuple(-1 if -1 in one else math.prod(one) for one in within if one)

    @property
    def whole(self) -> bool:
        """Whether each axis is of one kind, one of them of channels, and every element is at a place."""
        return "(" not in self.axes and self.axes.count("C") == 1 and not self.others

    def channels(self, shape: Sequence[int]) -> int:
        """How many maps a tensor of this shape holds, -1 where the file leaves it open."""
        sizes = self.sizes or shape
        return -1 if -1 in (own := _of(sizes, self.roles, "C")) else math.prod(own)

    def maps(self, x: Any) -> Any:
        """The tensor as (N, C, H, W): an array, or a Sym that records it."""
        roles = self.roles
        x = x.reshape(self.sizes) if "(" in self.axes else x
        order = [k for role in "NCHWT" for k, axis in enumerate(roles) if axis == role]
        x = x.transpose(order) if order != sorted(order) else x
        if self.tokens:
            return self._placed(x)
        return x if "H" in roles else x[:, :, None]

    def _placed(self, x: Any) -> Any:
        channels, count = (math.prod(_of(self.sizes, self.roles, role)) for role in "CT")
        flat = x if sorted(self.roles) == ["C", "N", "T"] else x.reshape(-1, channels, count)
        first, last = self.tokens[0], self.tokens[-1]
        if self.tokens != tuple(range(first, last + 1)):
            flat = flat[:, :, list(self.tokens)]
        elif self.others:
            flat = flat[:, :, first : last + 1]
        return flat.reshape(-1, channels, *self.size)


def view_in_order(places: Places, shape: Sequence[int]) -> View | None:
    """The view of a map whose axes are rows and columns: it holds for maps of any size. Sizes are those of `shape`."""
    axes = axes_in_order(places, shape)
    size = dict(zip(axes, shape, strict=False))
    return View(axes, (size.get("H", 1), size["W"])) if axes else None


def view_of_tokens(places: Places, shape: Sequence[int], images: int) -> View | None:
    """The view of a tensor with tokens, in whatever order and along whichever axes.

    None where images share an axis with tokens that counts tokens first, and where not every row that occurs has
    every column that occurs, once.
    """
    axis = _images_axis(places)
    inner, rest = divmod(shape[axis], images)
    opened = None if rest or places.index.shape[axis] % images else _opened(places, axis, images)
    if opened is None:
        return None
    rows = np.moveaxis(opened.index, axis, 0).reshape(opened.index.shape[axis], -1)
    roles = ["T" if length > 1 else "C" for length in opened.index.shape]
    roles[axis] = "N"
    tokens, size = _in_rows(Places(places.grid, rows))
    if not tokens:
        return None
    sizes = [*shape[:axis], -1, inner, *shape[axis + 1 :]]
    if inner == 1:
        del sizes[axis + 1], roles[axis + 1]
        axes = "".join(roles)
    else:
        axes = "".join((*roles[:axis], f"({roles[axis]}{roles[axis + 1]})", *roles[axis + 2 :]))
    return View(axes, size, tuple(sizes), tokens, rows.shape[1] - len(tokens))


def _images_axis(places: Places) -> int:
    """The first axis along which the image changes, 0 where there is one image only."""
    image = np.where(places.index > 0, places.parts()[0], 0)
    changing = (k for k in range(image.ndim) if (image != image.take([0], k)).any())
    return next(changing, 0)


def _opened(places: Places, axis: int, images: int) -> Places | None:
    """The places with the images as an axis of their own, the rest of their axis behind it."""
    shape = places.index.shape
    index = places.index.reshape(*shape[:axis], images, shape[axis] // images, *shape[axis + 1 :])
    return compressed(places.grid, index)


def _in_rows(places: Places) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Which token of an image is at each place, row by row, and how many rows and columns; () where they are no grid.

    `places` has the axes (images, tokens).
    """
    image, row, column = places.parts()
    somewhere = places.index > 0
    count = len(places.index)
    alike = (somewhere == somewhere[0]).all() and (somewhere <= (image == np.arange(count)[:, None])).all()
    if not alike or not ((row == row[0]) & (column == column[0]) | ~somewhere).all():
        return (), (0, 0)
    tokens = np.flatnonzero(somewhere[0])
    rows, down = np.unique(row[0, tokens], return_inverse=True)
    columns, across = np.unique(column[0, tokens], return_inverse=True)
    order = down * len(columns) + across
    if len(tokens) < 2 or not np.array_equal(np.sort(order), np.arange(len(rows) * len(columns))):
        return (), (0, 0)
    return tuple(tokens[np.argsort(order)].tolist()), (len(rows), len(columns))


def _of(sizes: Sequence[int], roles: str, role: str) -> list[int]:
    return [size for size, own in zip(sizes, roles, strict=True) if own == role]
