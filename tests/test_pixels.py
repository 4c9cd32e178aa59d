"""Preprocessing as a graph beside Pillow, on photographs: every fit, interpolation, color, layout and dtype."""

import io
import itertools
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_tensor
from backlit_server.engine.engine import Engine
from backlit_server.engine.pictures import Pictures
from backlit_server.engine.recipes import recipe
from backlit_server.engine.runtime import Runtime
from backlit_server.graph import ImageInput
from bare import stored
from preparing import THREADS, prepare, prepared

FITS = ("CROP", "STRETCH", "PAD")
INTERPOLATIONS = ("BILINEAR", "BICUBIC", "NEAREST")
SIZES = ((224, 224), (37, 301), (1, 1))
ROCKET, CHELSEA = skimage.data.rocket(), skimage.data.chelsea()
PICTURES = {
    "a photograph": CHELSEA,
    "a tall one": np.ascontiguousarray(np.rot90(ROCKET)),
    "odd sizes": CHELSEA[:237, :301],
    "one pixel": CHELSEA[:1, :1],
    "very wide": ROCKET[100:103],
    "one column": ROCKET[:, 200:201],
    "noise": np.random.default_rng(0).integers(0, 256, (64, 49, 3), np.uint8),
    "grey": skimage.data.camera()[:200, :350],
}
IMAGE = ImageInput(np.dtype(np.float32), "NCHW", 3, 0, 0)


def both(picture: bytes | np.ndarray, expected: ImageInput = IMAGE, **declared: Any) -> tuple[np.ndarray, np.ndarray]:
    """The input as Pillow makes it, and as the graph does."""
    ways = (pb.Preprocessing.COMPUTED_BY_PILLOW, pb.Preprocessing.COMPUTED_BY_GRAPH)
    one, other = (prepare([picture], pb.Preprocessing(**declared, computed_by=way), expected) for way in ways)
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    return one, other


@pytest.mark.parametrize(("fit", "interpolation"), list(itertools.product(FITS, INTERPOLATIONS)))
def test_the_graph_makes_pillows_pixels(fit, interpolation):
    declared: dict[str, Any] = {"preset": "raw", "fit": f"FIT_{fit}", "interpolation": f"INTERPOLATION_{interpolation}"}
    for (name, pixels), (height, width) in itertools.product(PICTURES.items(), SIZES):
        one, other = both(pixels, **declared, height=height, width=width)
        apart = abs(one - other)
        assert apart.max() <= 1, (name, height, width)  # of 255
        assert np.count_nonzero(apart) <= 1e-3 * apart.size, (name, height, width)


def test_the_graph_makes_pillows_pixels_of_files(shared):
    """Hundreds of sizes, a few of which Pillow resizes in the other direction first."""
    declared: dict[str, Any] = {"preset": "raw", "height": 224, "width": 224, "interpolation": "INTERPOLATION_BICUBIC"}
    for file in sorted((shared / "photos/imagenet").iterdir())[::8]:
        picture = file.read_bytes()
        one, other = both(picture, **declared)
        assert abs(one - other).max() <= 1, file.name


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "uint8", "int32"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("preset", "color"), [("imagenet", "RGB"), ("caffe", "BGR"), ("inception", "GREY")])
def test_the_graph_normalises_as_numpy_does(preset, color, layout, dtype):
    expected = ImageInput(np.dtype(dtype), layout, 1 if color == "GREY" else 3, 40, 56)
    one, other = both(CHELSEA, expected, preset=preset, color=f"COLOR_{color}", fit="FIT_PAD")
    grey_level = 1 if np.dtype(dtype).kind in "ui" else 1.01 / 57
    assert abs(one.astype(float) - other.astype(float)).max() <= 1e-2 * grey_level


def test_pictures_of_one_size_share_a_run_and_others_keep_their_place(monkeypatch):
    sizes = []
    opened = Runtime.open
    given = [CHELSEA, CHELSEA[::-1].copy(), ROCKET, CHELSEA[:, ::-1].copy()]
    declared = pb.Preprocessing(preset="unit", height=32, width=24, computed_by=pb.Preprocessing.COMPUTED_BY_GRAPH)

    def watched(runtime, model, folder=None):
        session = opened(runtime, model, folder)
        run = session.run
        monkeypatch.setattr(session, "run", lambda feeds: (sizes.append(feeds["pixels"].shape[:3]), run(feeds))[1])
        return session

    monkeypatch.setattr(Runtime, "open", watched)
    together = Pictures(Runtime("cpu", THREADS), 1)
    made = prepared(together, given, declared, IMAGE)
    assert sizes == [(2, 300, 451), (1, 427, 640), (1, 300, 451)]
    alone = [prepare([pixels], declared, IMAGE)[0] for pixels in given]
    np.testing.assert_array_equal(made, alone)


def test_each_kind_of_device_has_its_way_and_a_preprocessing_may_name_another():
    for usual, asked, taken in (
        ("PILLOW", "UNSPECIFIED", "PILLOW"),
        ("GRAPH", "UNSPECIFIED", "GRAPH"),
        ("GRAPH", "PILLOW", "PILLOW"),
        ("PILLOW", "GRAPH", "GRAPH"),
    ):
        declared = pb.Preprocessing(preset="unit", height=8, width=8, computed_by=f"COMPUTED_BY_{asked}")
        assert recipe(declared, IMAGE, usual).computed_by == taken


def asked(engine: Engine, shared, picture: bytes, way: str) -> tuple[pb.ExplainResponse, np.ndarray]:
    """The answer for pictures of two sizes, prepared in one way."""
    preprocessing = pb.Preprocessing(preset="efficientnet-lite", computed_by=f"COMPUTED_BY_{way}")
    question = pb.Question(
        model=stored(engine.store, shared / "models/efficientnet-lite0.onnx"), preprocessing=preprocessing
    )
    question.targets.add(top=2)
    small = pb.Picture(pixels=to_tensor(CHELSEA[:200, 100:]))
    request = pb.ExplainRequest(question=question, pictures=[pb.Picture(file=picture), small])
    (response, heatmaps), *more = [a for a in engine.explain(request, [CHELSEA[:200, 100:]]) if isinstance(a, tuple)]
    assert not more
    return response, np.stack(heatmaps)


def test_pictures_of_differing_sizes_join_in_one_answer_that_says_who_prepared_them(engine, shared):
    file = io.BytesIO()
    Image.fromarray(ROCKET).save(file, "JPEG")
    by_pillow, maps = asked(engine, shared, file.getvalue(), "PILLOW")
    by_graph, same = asked(engine, shared, file.getvalue(), "GRAPH")
    assert [e.image for e in by_graph.explanations] == [0, 0, 1, 1]
    assert by_pillow.provenance.preprocessing.computed_by == pb.Preprocessing.COMPUTED_BY_PILLOW
    assert by_graph.provenance.preprocessing.computed_by == pb.Preprocessing.COMPUTED_BY_GRAPH
    np.testing.assert_allclose(same, maps, atol=1e-4 * abs(maps).max())


def test_others_have_their_turn_between_large_pictures():
    large = np.zeros((3000, 3000, 3), np.uint8)
    declared = pb.Preprocessing(preset="unit", height=8, width=8)
    hands = Pictures(Runtime("cpu", THREADS), 10)
    by = hands.recipe(declared, IMAGE)
    for given, turns in (([CHELSEA] * 40, 0), ([large], 0), ([large] * 3, 2), ([large, CHELSEA, large, CHELSEA], 1)):
        assert len(list(hands.prepare(given, by, IMAGE))) == turns
    assert prepared(hands, [large, CHELSEA, large], declared, IMAGE).shape == (3, 3, 8, 8)
