"""A real detector looks at the face that it finds, and resolves a box that somebody drew."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.engine import Engine
from backlit_server.engine.rendering import resize
from bare import ask, corners, stored, values


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A photograph with a face, as UltraFace takes it."""
    from PIL import Image

    data = pytest.importorskip("skimage.data")
    pixels = Image.fromarray(data.astronaut()).resize((320, 240), Image.Resampling.BILINEAR)
    return ((np.asarray(pixels, np.float32) - 127) / 128).transpose(2, 0, 1)[None]


def test_a_real_detector_finds_the_face_and_looks_at_it(shared: Path, engine: Engine, astronaut: np.ndarray):
    file = shared / "models" / "ultraface-rfb320.onnx"
    digest = stored(engine.store, file)
    scores, boxes = values(file, ["scores", "boxes"], {"input": astronaut})
    anchor = int(scores[0, :, 1].argmax())
    for method in ("grad-cam", "hires-cam", "layer-cam"):
        ((answer, heatmap),) = ask(engine, digest, astronaut, method)
        found = answer.target
        assert (found.detection.anchor, found.class_index) == (anchor, 1)
        assert found.output == pytest.approx(scores[0, anchor, 1], rel=1e-5)
        assert corners(found.detection.box) == pytest.approx(boxes[0, anchor] * (320, 240, 320, 240), abs=1e-3)
        row, column = np.unravel_index(resize(heatmap, (240, 320)).argmax(), (240, 320))
        box = found.detection.box
        assert box.x_min < column < box.x_max, method
        assert box.y_min < row < box.y_max, method


def test_a_box_of_a_real_detector_is_resolved_to_an_anchor(shared: Path, engine: Engine, astronaut: np.ndarray):
    file = shared / "models" / "ultraface-rfb320.onnx"
    scores, boxes = values(file, ["scores", "boxes"], {"input": astronaut})
    drawn = pb.BoxTarget(box=pb.Box(x_min=110, y_min=30, x_max=170, y_max=80))
    ((answer, _),) = ask(engine, stored(engine.store, file), astronaut, "grad-cam", [pb.Target(box=drawn)])
    found = answer.target
    fits = [overlap(box * (320, 240, 320, 240), (110, 30, 170, 80)) for box in boxes[0]]
    assert found.detection.anchor == np.argmax(fits)
    assert found.detection.iou == pytest.approx(max(fits))
    assert (found.class_index, found.description) == (1, "class 1 at the anchor that fits the box best")
    assert found.output == pytest.approx(scores[0, np.argmax(fits), 1], rel=1e-5)


def overlap(a: np.ndarray, b: tuple[float, ...]) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
