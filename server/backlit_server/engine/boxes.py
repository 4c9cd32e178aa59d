"""What a detector means by the four numbers of a box: told, or read off the boxes themselves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb

SHARES = 2.5  # the largest number of boxes that are shares of the input: they may stick out of it
ORDERED = 0.5  # how clearly one coordinate must grow from anchor to anchor to be the rows'


@dataclass(frozen=True)
class Convention:
    """`format` is a key of CORNERS, `units` pixels or normalized, "" where not told; `assumed`: some of it was not."""

    format: str = ""
    units: str = ""
    assumed: bool = False

    def message(self) -> pb.BoxConvention:
        """As answers tell it."""
        return pb.BoxConvention(format=f"FORMAT_{self.format.upper()}", units=f"UNITS_{self.units.upper()}")


def read_convention(message: pb.BoxConvention) -> Convention:
    """What a question says of boxes."""
    box_format = pb.BoxConvention.Format.Name(message.format).removeprefix("FORMAT_").lower()
    units = pb.BoxConvention.Units.Name(message.units).removeprefix("UNITS_").lower()
    return Convention(box_format if message.format else "", units if message.units else "")


def settled(told: Convention, centred: bool | None, boxes: np.ndarray) -> Convention:
    """The convention of these boxes (anchors, 4): as told, then as the file says, the rest read off their numbers.

    Corners are no smaller than the corners before them, which centres and sizes are; shares are small numbers; and of
    anchors in the order of reading, y grows where x comes again and again.
    """
    box_format = told.format or _format(centred, boxes)
    units = told.units or ("normalized" if np.abs(boxes).max(initial=0) <= SHARES else "pixels")
    return Convention(box_format, units, assumed=not (told.format and told.units))


def corners(boxes: np.ndarray, convention: Convention, size: tuple[int, int]) -> np.ndarray:
    """Boxes as x_min, y_min, x_max, y_max in pixels of the input, whose size is (height, width)."""
    made = CORNERS[convention.format](boxes.astype(np.float64))
    made = np.concatenate([np.minimum(made[:, :2], made[:, 2:]), np.maximum(made[:, :2], made[:, 2:])], 1)
    height, width = size
    return made * (width, height, width, height) if convention.units == "normalized" else made


CORNERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "xyxy": lambda b: b,
    "yxyx": lambda b: b[:, [1, 0, 3, 2]],
    "cxcywh": lambda b: np.concatenate([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1),
    "xywh": lambda b: np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], 1),
}


def _format(centred: bool | None, boxes: np.ndarray) -> str:
    if centred is None:
        centred = bool((boxes[:, 2:] < boxes[:, :2]).any())
    if centred:
        return "cxcywh"
    # The first half of the anchors belongs to one grid: those of further grids, if any, are a quarter each as many.
    grid = boxes[: len(boxes) // 2, :2] + boxes[: len(boxes) // 2, 2:]
    first, second = (_grows(grid[:, k]) for k in (0, 1))
    return "yxyx" if first > ORDERED and first > 2 * second else "xyxy"


def _grows(coordinate: np.ndarray) -> float:
    """How well the number of an anchor tells its coordinate: their correlation, without sign."""
    if len(coordinate) < 3 or not np.ptp(coordinate):
        return 0.0
    return float(abs(np.corrcoef(np.arange(len(coordinate)), coordinate)[0, 1]))
