"""Detectors, small ones written by hand and a real one: the gradient stops before what only selects."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.engine import Engine
from bare import ask, corners, stored, values
from written import written

rng = np.random.default_rng(47)


def weight(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32) / np.sqrt(np.prod(shape[1:], dtype=np.float32))


# Two scales of 8x8 and 4x4, three classes; boxes are centre and size around each cell, in pixels of 32x32.
BODY = """
    a = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w1)
    b = Relu(a)
    c = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(b, w2)
    fine = Relu(c)
    d = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(fine, w3)
    coarse = Relu(d)
    s1 = Conv(fine, ws1)
    s2 = Conv(coarse, ws2)
    r1 = Reshape(s1, flat_scores)
    r2 = Reshape(s2, flat_scores)
    logits = Concat<axis = 2>(r1, r2)
    t1 = Conv(fine, wb1)
    t2 = Conv(coarse, wb2)
    q1 = Reshape(t1, flat_boxes)
    q2 = Reshape(t2, flat_boxes)
    q = Concat<axis = 2>(q1, q2)
    moved = Add(q, grid)
"""
SUPPRESSED = """
    confidence = Sigmoid(logits)
    boxes = Transpose<perm = [0, 2, 1]>(moved)
    kept = NonMaxSuppression<center_point_box = 1>(boxes, confidence, most, iou, least)
    pick = Gather<axis = 1>(kept, image_and_anchor)
    boxes_out = GatherND(boxes, pick)
    order = Gather<axis = 1>(kept, image_class_anchor)
    scores_out = GatherND(confidence, order)
"""
YOLO = f"(float[N, 3, 32, 32] x) => (float[M, 4] boxes_out, float[M] scores_out) {{ {BODY} {SUPPRESSED} }}"


# The scores side by side with the boxes, as detectors leave them that are exported without suppression.
SIDE_BY_SIDE = f"""(float[N, 3, 32, 32] x) => (float[N, 7, 80] y) {{ {BODY}
    confidence = Sigmoid(logits)
    y = Concat<axis = 1>(moved, confidence)
}}"""
TURNED = f"""(float[N, 3, 32, 32] x) => (float[N, 80, 4] places, float[N, 80, 3] p) {{ {BODY}
    places = Transpose<perm = [0, 2, 1]>(moved)
    turned = Transpose<perm = [0, 2, 1]>(logits)
    p = Softmax<axis = -1>(turned)
}}"""


def cells(count: int) -> np.ndarray:
    """Centres and sizes of the cells of one scale, (4, cells)."""
    y, x = (np.indices((count, count)).reshape(2, -1) + 0.5) * 32 / count
    side = np.full_like(x, 40 / count)
    return np.stack([x, y, side, side])


WEIGHTS = {
    "w1": weight(8, 3, 3, 3),
    "w2": weight(8, 8, 3, 3) * 2,
    "w3": weight(8, 8, 3, 3) * 2,
    "ws1": weight(3, 8, 1, 1) * 4,
    "ws2": weight(3, 8, 1, 1) * 4,
    "wb1": weight(4, 8, 1, 1) * 0.1,
    "wb2": weight(4, 8, 1, 1) * 0.1,
    "flat_scores": np.array([0, 3, -1]),
    "flat_boxes": np.array([0, 4, -1]),
    "grid": np.concatenate([cells(8), cells(4)], 1)[None].astype(np.float32),
}
SELECTION = {
    "most": np.array([5]),
    "iou": np.array([0.3], np.float32),
    "least": np.array([0.5], np.float32),
    "image_and_anchor": np.array([0, 2]),
    "image_class_anchor": np.array([0, 1, 2]),
}
MODELS = {"yolo": (YOLO, SELECTION), "side by side": (SIDE_BY_SIDE, {}), "turned": (TURNED, {})}
X = rng.normal(size=(2, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return lambda name: written(
        folder / f"{name}.onnx", MODELS[name][0], **_used(MODELS[name][0], WEIGHTS | MODELS[name][1])
    )


def _used(text: str, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in weights.items() if name in text}


def by_anchor(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Logits and boxes of X (images, anchors, numbers) by plain ONNX Runtime, whatever the layout."""
    logits, boxes = values(file, ["logits", "moved"], {"x": X})
    return logits.transpose(0, 2, 1), boxes.transpose(0, 2, 1)


@pytest.mark.parametrize("name", MODELS)
def test_the_best_box_is_explained_before_anything_selects(engine: Engine, file, name: str):
    logits, boxes = by_anchor(file(name))
    answers = ask(engine, stored(engine.store, file(name)), X, "hires-cam")
    assert [answer.image for answer, _ in answers] == [0, 1]
    for (answer, _), scores, places in zip(answers, logits, boxes, strict=True):
        if name == "turned":  # a softmax makes one class the background
            background = np.bincount(scores.argmax(1)).argmax()
            scores = np.where(np.arange(3) == background, -np.inf, scores)
        anchor, index = np.unravel_index(scores.argmax(), scores.shape)
        found = answer.target
        assert (found.detection.anchor, found.class_index) == (anchor, index)
        assert found.score == pytest.approx(scores[anchor, index], rel=1e-5)
        assert corners(found.detection.box) == pytest.approx(xyxy(places[anchor]), abs=1e-3)
        assert answer.layer == ("fine" if anchor < 64 else "coarse")
        if name != "turned":
            assert found.output == pytest.approx(1 / (1 + np.exp(-found.score)), rel=1e-5)


def xyxy(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("anchor", [9, 70])
def test_the_map_of_an_anchor_is_its_derivative(engine: Engine, file, name: str, anchor: int):
    """HiResCAM sums to d/de of the score with all features times 1 + e: here what is left without the bias, which
    these heads do not have."""
    logits, _ = by_anchor(file(name))
    index = [anchor, 2] if name == "turned" else [2, anchor]
    target = pb.Target(element=pb.Element(index=index))
    for image, (answer, heatmap) in enumerate(ask(engine, stored(engine.store, file(name)), X, "hires-cam", [target])):
        assert heatmap.shape == ((8, 8) if anchor < 64 else (4, 4))
        assert heatmap.sum() == pytest.approx(logits[image, anchor, 2], rel=1e-4)
        assert answer.target.score == pytest.approx(logits[image, anchor, 2], rel=1e-5)
        flat = heatmap.ravel()
        place = anchor if anchor < 64 else anchor - 64
        assert np.allclose(np.delete(flat, place), 0, atol=1e-6), "a 1x1 head sees one cell"


def test_a_target_of_several_scales_is_explained_before_they_part(engine: Engine, file):
    logits, _ = by_anchor(file("yolo"))
    terms = [pb.Combination.Term(target=pb.Target(element=pb.Element(index=[1, k])), weight=1) for k in (5, 70)]
    ((answer, _),) = ask(
        engine,
        stored(engine.store, file("yolo")),
        X[:1],
        "hires-cam",
        [pb.Target(combination=pb.Combination(terms=terms))],
    )
    assert answer.layer == "fine"
    assert answer.target.score == pytest.approx(logits[0, [5, 70], 1].sum(), rel=1e-5)


def test_what_suppression_kept_is_what_the_file_answers(engine: Engine, file):
    """Row by row: the box that the file's own output holds is that of the anchor that is explained."""
    digest = stored(engine.store, file("yolo"))
    kept, boxes, scores = values(file("yolo"), ["kept", "boxes_out", "scores_out"], {"x": X})
    for image in (0, 1):
        own = np.flatnonzero(kept[:, 0] == image)
        targets = [pb.Target(detection=k) for k in range(len(own))]
        answers = ask(engine, digest, X, "grad-cam", targets[: 1 + min(np.bincount(kept[:, 0])) - 1])
        for (answer, _), row in zip([a for a in answers if a[0].image == image], own, strict=False):
            found = answer.target
            assert (found.class_index, found.detection.anchor) == tuple(kept[row, 1:])
            assert corners(found.detection.box) == pytest.approx(xyxy(boxes[row]), abs=1e-3)
            assert found.output == pytest.approx(scores[row], rel=1e-5)
            assert found.detection.convention.format == pb.BoxConvention.FORMAT_CXCYWH
    with pytest.raises(BadQuestion, match="of this image"):
        ask(engine, digest, X[:1], "grad-cam", [pb.Target(detection=1000)])


def test_a_batch_of_detections_is_its_single_images(engine: Engine, file):
    digest = stored(engine.store, file("turned"))
    together = ask(engine, digest, X, "grad-cam", ["top3", 1])
    alone = [pair for x in X for pair in ask(engine, digest, x[None], "grad-cam", ["top3", 1])]
    assert len(together) == len(alone) == 8
    assert len({answer.layer for answer, _ in together}) == 2, "both scales are needed for this to show anything"
    for (ours, heatmap), (theirs, expected) in zip(together, alone, strict=True):
        assert (ours.layer, ours.target.detection.anchor) == (theirs.layer, theirs.target.detection.anchor)
        assert np.allclose(heatmap, expected, atol=1e-5)


def test_boxes_can_be_explained_as_well(engine: Engine, file):
    (_, boxes) = by_anchor(file("turned"))
    target = pb.Target(element=pb.Element(index=[9, 2]))
    ((answer, _),) = ask(
        engine, stored(engine.store, file("turned")), X[:1], "hires-cam", [target], layer="fine", scores="places"
    )
    assert (answer.target.scores, answer.target.score) == ("places", pytest.approx(boxes[0, 9, 2], rel=1e-5))
