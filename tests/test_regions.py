"""From a map to an object: boxes of hand-made maps, places in the picture, and digits whose boxes are known."""

from pathlib import Path

import numpy as np
import pytest

from backlit import BadQuestion, Preprocessing, boxes, iou, segment
from backlit.answers import Explanation, read_finals
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_tensor
from backlit_server.engine.engine import Engine
from bare import ask, stored

MAP = np.zeros((8, 10), np.float32)
MAP[1:4, 2:5] = 1
MAP[3, 3] = 4
MAP[6:8, 6:10] = 0.7
MAP[0, 9] = -5


def explained(heatmap: np.ndarray, by: Preprocessing | None = None) -> Explanation:
    message = pb.Explanation(heatmap=to_tensor(heatmap))
    made = pb.Provenance(preprocessing=by.message() if by else None)
    return read_finals([pb.ExplainResponse(progress=1, explanations=[message], provenance=made)])[0]


def test_each_hot_region_has_a_box_the_largest_first():
    first, second = boxes(MAP)
    assert (first.corners, first.pixels) == ((2, 1, 5, 4), 9)
    assert (second.corners, second.pixels) == ((6, 6, 10, 8), 8)
    assert first.heat + second.heat == pytest.approx(1)
    assert first.heat == pytest.approx(12 / 17.6)
    assert boxes(MAP, most=1) == [first]


def test_the_share_says_what_is_hot():
    assert [region.corners for region in boxes(MAP, share=0.2)] == [(2, 1, 5, 4)]
    assert [region.corners for region in boxes(MAP, share=0.5)] == [(3, 3, 4, 4)]
    assert [region.corners for region in boxes(MAP, share="otsu")] == [(3, 3, 4, 4)]
    assert boxes(-abs(MAP)) == []
    assert explained(MAP * 0).box() is None
    for share in (1.0, -0.1, "most"):
        with pytest.raises(BadQuestion, match="share is a number from 0 to below 1"):
            boxes(MAP, share=share)


def test_diagonals_join_and_regions_apart_do_not():
    assert [region.pixels for region in boxes(np.eye(4))] == [4]
    assert len(boxes(np.array([[1, 0, 1, 0, 1]]))) == 3


def test_boxes_are_in_pixels_of_the_picture():
    heat = np.zeros((7, 7), np.float32)
    heat[2, 4] = 1
    (whole,) = boxes(explained(heat), (70, 140), share=0.5)
    assert whole.corners == (80, 20, 100, 30)
    (cropped,) = boxes(
        explained(heat, Preprocessing(fit="crop", crop=1.0, height=224, width=224)), (70, 140), share=0.5
    )
    assert cropped.corners == (35 + 40, 20, 35 + 50, 30)


def test_intersection_over_union():
    assert iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (2, 0, 4, 2)) == iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0


def test_a_segment_follows_the_edges_of_the_picture():
    """A disc of another colour, and a coarse map with a spot somewhere on it."""
    pytest.importorskip("cv2", reason="GrabCut is OpenCV's")
    rows, columns = np.mgrid[:120, :160]
    disc = (rows - 60) ** 2 + (columns - 90) ** 2 < 35**2
    noise = np.random.default_rng(0).integers(0, 30, (120, 160, 3))
    photo = (np.where(disc[..., None], [200, 60, 40], [40, 90, 160]) + noise).astype(np.uint8)
    heat = np.zeros((6, 8), np.float32)
    heat[2:4, 4:5] = 1
    found = segment(photo, explained(heat))
    assert (found & disc).sum() / (found | disc).sum() > 0.9
    coarse = segment(photo, explained(heat), by="threshold")
    assert (coarse & disc).sum() / (coarse | disc).sum() < 0.7
    with pytest.raises(BadQuestion, match="'grabcut', 'threshold'"):
        segment(photo, explained(heat), by="snakes")


# Of 200 digits: how many boxes overlap the true one by half or more, and their mean overlap.
LOCALISED = {("grad-cam", 0.15): (80, 0.48), ("grad-cam", 0.5): (189, 0.67), ("grad-cam", "otsu"): (192, 0.64)}


@pytest.mark.parametrize(("method", "share"), LOCALISED)
def test_digits_are_boxed_where_they_were_pasted(
    shared: Path, engine: Engine, digits40: np.ndarray, method: str, share: float | str
):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    test = np.load(shared / "photos" / "digits40" / "test200.npz")
    overlaps = []
    for image, label, truth in zip(digits40, test["labels"], test["boxes"], strict=True):
        ((_, heatmap),) = ask(engine, digest, image[None], method, [int(label)])
        found = explained(heatmap).box((40, 40), share=share)
        overlaps.append(iou(found, truth) if found else 0)
    right, mean = int((np.array(overlaps) >= 0.5).sum()), float(np.mean(overlaps))
    print(f"\n{method} at {share}: {right} of 200 boxes right, mean overlap {mean:.3f}")
    assert (right, mean) >= LOCALISED[method, share]
