"""Which rows go through which head: of a detector of several scales, each through that of its own anchor."""

import itertools
from collections.abc import Iterator
from types import EllipsisType

from backlit_server.engine.backbones import Backbone
from backlit_server.engine.targets import Row
from backlit_server.graph import Cut

Some = slice | EllipsisType


def parted(backbone: Backbone, rows: list[Row]) -> Iterator[tuple[Cut, Some, list[Row]]]:
    """The rows in their order, in runs of one cut, with the images they are of.

    Where anchors have cuts of their own, rows of different images never share a run: they need not be as many.
    """
    assert backbone.cut is not None
    if not backbone.by_anchor:
        yield backbone.cut, ..., rows
        return
    cuts = [_cut_of(backbone, backbone.cut, row) for row in rows]
    together = itertools.groupby(zip(cuts, rows, strict=True), lambda pair: (pair[0].layer, pair[1].image))
    for (_, image), pairs in together:
        chosen = list(pairs)
        images = slice(image, image + 1) if chosen[0][0].rows_tile else ...
        yield chosen[0][0], images, [row for _, row in chosen]


def _cut_of(backbone: Backbone, common: Cut, row: Row) -> Cut:
    """That of the one anchor a row is about, or the common one."""
    if row.detection is None:
        return common
    return next((cut for anchors, cut in backbone.by_anchor if row.detection.anchor in anchors), common)
