"""Boxes as targets: the best ones, the anchor that fits, what suppression kept, and how boxes are written."""

from dataclasses import replace

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.boxes import Convention
from backlit_server.engine.target_kinds import rows
from backlit_server.engine.views import View
from backlit_server.engine.wanted import (
    Element,
    Kept,
    Near,
)
from backlit_server.graph import Scores
from said_scores import SIZE, about, one, seen

rng = np.random.default_rng(42)
DETECTOR = about("detection", "AC", "Sigmoid")
BOXES = np.array([[10, 10, 30, 30], [11, 11, 31, 31], [60, 40, 90, 70], [0, 0, 100, 80], [61, 40, 91, 70]], float)
FACES = np.array([[5, 1.0], [1, 4], [0, 3], [6, 0], [1, 2]])  # class 0 wins most anchors


def face_view(said: Scores | None = None, boxes: np.ndarray = BOXES, told: Convention | None = None, **beside) -> View:
    said = said or about("detection", "AC", "Softmax", boxes="b")
    said = replace(said, activated="y")
    scores = np.concatenate([FACES, [[9, 0]] * 4])
    boxes = np.concatenate([boxes, np.repeat(boxes[-1:], 4, 0)])
    return seen(scores if said.task.axes == "AC" else scores.T, said, told, b=boxes[None], **beside)


def test_the_best_boxes_are_of_no_background_and_overlap_little():
    first, second = rows(["top2"], [face_view()])
    assert [row.detection.anchor for row in (first, second) if row.detection] == [1, 2]
    assert (first.class_index, first.score, first.said) == (1, 4, "the best box, class 0 being the background")
    assert first.detection
    assert first.detection.box == [11, 11, 31, 31]
    with pytest.raises(BadQuestion, match="3 that overlap by less than half"):
        rows(["top4"], [face_view()])


def test_without_a_softmax_no_class_is_the_background():
    best = one("top1", face_view(about("detection", "AC", "Sigmoid", boxes="b")))
    assert (best.class_index, best.score) == (0, 9)


@pytest.mark.parametrize("axes", ["AC", "CA"])
def test_a_box_is_resolved_to_the_anchor_that_overlaps_most(axes: str):
    view = face_view(about("detection", axes, "Softmax", boxes="b"))
    row = one(Near((59, 40, 89, 70), None), view)
    assert row.detection
    assert (row.detection.anchor, row.class_index, row.score) == (2, 1, 3)
    assert row.detection.iou == pytest.approx(29 / 31)
    assert one(Near((59, 40, 89, 70), 0), view).score == 0
    with pytest.raises(BadQuestion, match=r"no box of the model overlaps.*\[0.0, 0.0\] and \[100.0, 80.0\]"):
        one(Near((200, 200, 210, 210), None), view)


def test_what_suppression_kept_is_traced_back_to_its_anchor():
    kept = np.array([[1, 0, 3], [0, 1, 1], [0, 1, 2], [1, 1, 2]])
    view = face_view(about("detection", "AC", "Softmax", boxes="b", kept="k"), k=kept)
    row = one(Kept(1), view)
    assert row.detection
    assert (row.detection.anchor, row.class_index, row.score) == (2, 1, 3)
    with pytest.raises(BadQuestion, match="of this image 2 boxes were kept"):
        one(Kept(2), view)
    with pytest.raises(NotExplainable, match="no NonMaxSuppression"):
        one(Kept(0), face_view())


GRID = [(y, x) for y in range(6) for x in range(8)]  # anchors in the order of reading
CENTRES = np.array([(x * 12.5 + 6, y * 13 + 6) for y, x in GRID]) + rng.normal(size=(48, 2))
SIDES = rng.uniform(4, 30, size=(48, 2))
XYXY = np.concatenate([CENTRES - SIDES / 2, CENTRES + SIDES / 2], 1)
WRITTEN = {
    "xyxy": XYXY,
    "yxyx": XYXY[:, [1, 0, 3, 2]],
    "cxcywh": np.concatenate([CENTRES, SIDES], 1),
}


@pytest.mark.parametrize("units", ["pixels", "normalized"])
@pytest.mark.parametrize("written", WRITTEN)
def test_how_boxes_are_written_is_read_off_them(written: str, units: str):
    height, width = SIZE
    across = [height, width] * 2 if written == "yxyx" else [width, height] * 2
    boxes = WRITTEN[written] / (across if units == "normalized" else 1)
    for said in (None, True) if written == "cxcywh" else (None, False):
        task = about("detection", "AC", boxes="b", centred=said)
        row = one(Element((13, 0)), seen(np.zeros((48, 2)), task, b=boxes[None]))
        assert row.detection
        assert row.detection.convention == Convention(written, units, assumed=True)
        assert row.detection.box == pytest.approx(XYXY[13])


@pytest.mark.parametrize(
    ("told", "box"),
    [
        (Convention("xyxy", "pixels"), [10, 10, 30, 30]),
        (Convention("yxyx", "pixels"), [10, 10, 30, 30]),
        (Convention("cxcywh", "pixels"), [-5, -5, 25, 25]),
        (Convention("xywh", "pixels"), [10, 10, 40, 40]),
        (Convention("xywh", "normalized"), [1000, 800, 4000, 3200]),
    ],
)
def test_how_boxes_are_written_can_be_told(told: Convention, box: list[float]):
    row = one(Element((0, 0)), face_view(told=told))
    assert row.detection
    assert row.detection.convention == told
    assert row.detection.box == pytest.approx(box)
