"""Targets of detectors: one score an anchor and class, one box an anchor."""

import functools
from dataclasses import dataclass

import numpy as np

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.boxes import Convention, corners, settled
from backlit_server.engine.targets import Detection, Row
from backlit_server.engine.views import View
from backlit_server.engine.wanted import Kept, Near
from backlit_server.graph.reading.tasks import DETECTION
from backlit_server.methods.detections import overlaps

APART = 0.5  # overlap from which on two boxes are of one thing
SOFTMAX = ("LogSoftmax", "Softmax")


@dataclass(frozen=True)
class Anchors:
    """What a detector says of an image: scores (anchors, classes), boxes (anchors, 4) as it writes them or None."""

    view: View
    scores: np.ndarray
    written: np.ndarray | None

    @functools.cached_property
    def convention(self) -> Convention:
        assert self.written is not None
        return settled(self.view.told, self.view.about.task.centred, self.written)

    @functools.cached_property
    def boxes(self) -> np.ndarray:
        """x_min, y_min, x_max, y_max in pixels of what was sent."""
        if self.written is None:
            raise NotExplainable("this model has no boxes: ask for an element of the scores, anchor and class")
        frame = self.view.frame()
        return frame.to_sent(corners(self.written, self.convention, frame.size))

    @functools.cached_property
    def background(self) -> int | None:
        """The class that most anchors choose, where a Softmax makes them choose."""
        if self.view.about.activation not in SOFTMAX:
            return None
        return int(np.bincount(self.scores.argmax(1)).argmax())

    @functools.cached_property
    def foreground(self) -> np.ndarray:
        """The scores, the background's out of reach."""
        if self.background is None:
            return self.scores
        left = self.scores.copy()
        left[:, self.background] = -np.inf
        return left

    def row(self, anchor: int, index: int, said: str, iou: float = 0) -> Row:
        """The row of one anchor's score for one class."""
        count, classes = self.scores.shape
        place = anchor * classes + index if self.view.about.task.axes == "AC" else index * count + anchor
        found = Detection(anchor)
        if self.written is not None:
            found = Detection(anchor, self.boxes[anchor].tolist(), iou, self.convention)
        return self.view.value(place, index, said=said, detection=found)


def anchors(view: View) -> Anchors:
    """The view as a detector's; NotExplainable where it is none."""
    task = view.about.task
    if task.kind != DETECTION or view.scores.ndim != 2 or not task.axes:
        raise NotExplainable(
            f"the scores {view.about.name!r} {view.scores.shape} are not those of a detector's anchors: ask for an "
            "element of them, or send a seed"
        )
    scores = view.scores if task.axes == "AC" else view.scores.T
    boxes = view.made.get(task.boxes)
    written = None if boxes is None else boxes[view.image]
    if written is not None and written.shape[0] != len(scores):
        written = written.T
    return Anchors(view, scores, written)


def best_box(index: int, view: View) -> Row:
    """The anchor with the highest score of a class."""
    found = anchors(view)
    _check_class(index, found)
    return found.row(int(found.scores[:, index].argmax()), index, f"the best box of class {index}")


def best_boxes(count: int, view: View) -> list[Row]:
    """The best boxes of all classes but the background, best first, that overlap by less than half."""
    found = anchors(view)
    but = "" if found.background is None else f", class {found.background} being the background"
    best = found.foreground.max(1)
    chosen: list[Row] = []
    while len(chosen) < count:
        anchor = int(best.argmax())
        if best[anchor] == -np.inf:
            raise BadQuestion(f"the top {count} boxes of an image with {len(chosen)} that overlap by less than half")
        said = f"the best box{but}" if not chosen else f"the best box apart from {len(chosen)} better ones{but}"
        chosen.append(found.row(anchor, int(found.foreground[anchor].argmax()), said))
        best[anchor] = -np.inf
        if found.written is not None:
            best[overlaps(found.boxes[anchor], found.boxes) >= APART] = -np.inf
    return chosen


def nearest_box(wanted: Near, view: View) -> Row:
    """The anchor whose box overlaps most with the one asked for."""
    found = anchors(view)
    iou = overlaps(np.array(wanted.corners), found.boxes)
    anchor = int(iou.argmax())
    if not iou[anchor]:
        low, high = found.boxes[:, :2].min(0).round().tolist(), found.boxes[:, 2:].max(0).round().tolist()
        read = f"{found.convention.format} {found.convention.units}"
        raise BadQuestion(
            f"no box of the model overlaps with {list(wanted.corners)}; they lie between {low} and {high}, in pixels "
            f"of what was sent, read as {read}: if that is wrong, say the box convention"
        )
    index = int(found.foreground[anchor].argmax()) if wanted.class_index is None else wanted.class_index
    _check_class(index, found)
    return found.row(anchor, index, f"class {index} at the anchor that fits the box best", float(iou[anchor]))


def kept_box(wanted: Kept, view: View) -> Row:
    """The anchor of a box that the file's NonMaxSuppression kept."""
    if not view.about.task.kept:
        raise NotExplainable(
            "this model has no NonMaxSuppression that keeps boxes: ask for the top k, or for a box by its corners"
        )
    found = anchors(view)
    selected = view.made[view.about.task.kept]
    own = selected[selected[:, 0] == view.image]
    if wanted.index >= len(own):
        raise BadQuestion(f"there is no detection {wanted.index}: of this image {len(own)} boxes were kept")
    _, index, anchor = own[wanted.index].tolist()
    return found.row(anchor, index, f"detection {wanted.index} of those that NonMaxSuppression kept")


def _check_class(index: int, found: Anchors) -> None:
    if not 0 <= index < found.scores.shape[1]:
        raise BadQuestion(f"there is no class {index}; this model has the classes 0 to {found.scores.shape[1] - 1}")
