"""Finishing a heatmap: each step against a library or by hand, and the order of the steps."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.rendering import read_rendering, render
from backlit_server.methods.profiles import PROFILES, Rendering
from backlit_server.methods.scaling import resize

RAW = np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)
INPUT = (224, 160)


@pytest.mark.parametrize("size", [(224, 160), (8, 6), (7, 5), (21, 5)])
def test_enlarging_equals_pillow_bilinear(size):
    pillow = np.asarray(Image.fromarray(RAW).resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.allclose(resize(RAW, size), pillow, atol=1e-6)


def test_shrinking_samples_without_antialiasing():
    ramp = np.arange(8, dtype=np.float32)[None]
    assert resize(ramp, (1, 2)).tolist() == [[1.5, 5.5]]


def rendered(heatmap: np.ndarray, rendering: Rendering) -> tuple[np.ndarray, tuple[str, ...]]:
    """One heatmap, finished."""
    done = render(heatmap[None], rendering, INPUT)
    return done.heatmaps[0], done.steps


def test_without_wishes_the_map_stays_as_it_was_computed():
    heatmap, steps = rendered(RAW, Rendering())
    assert np.array_equal(heatmap, RAW)
    assert steps == ()


def test_all_steps_are_done_in_order_and_listed():
    heatmap, steps = rendered(RAW, Rendering("input", ("relu", "resize", "normalize"), dtype=np.dtype(np.uint8)))
    assert [step.split()[0] for step in steps] == ["relu", "resize", "normalize", "uint8"]
    assert heatmap.shape == INPUT
    assert (heatmap.min(), heatmap.max(), heatmap.dtype) == (0, 255, np.uint8)


def test_normalized_maps_span_zero_to_one_at_the_size_asked_for():
    done = render(np.stack([RAW, 3 * RAW + 1]), Rendering((50, 40), ("resize", "normalize")), INPUT)
    for heatmap in done.heatmaps:
        assert (heatmap.min(), heatmap.max()) == (0, 1)


def test_a_constant_map_becomes_zero_and_not_nan():
    heatmap, _ = rendered(np.full((3, 3), 5.0, np.float32), Rendering(steps=("normalize",)))
    assert not heatmap.any()


def test_channels_are_rendered_one_by_one():
    both, _ = rendered(np.stack([RAW, -RAW]), Rendering((9, 9)))
    assert np.allclose(both[0], -both[1])


def test_channels_are_normalized_together_or_each_or_from_a_range():
    channels = np.array([[[0, 1], [2, 4]], [[-4, 0], [4, 8]]], np.float32)
    for rendering, expected, step in (
        (Rendering(steps=("normalize",)), (channels + 4) / 12, "normalize min-max"),
        (
            Rendering(steps=("normalize",), each_channel=True),
            [[[0, 0.25], [0.5, 1]], [[0, 1 / 3], [2 / 3, 1]]],
            "normalize min-max, each channel",
        ),
        (
            Rendering(steps=("normalize",), value_range=(0, 4)),
            [[[0, 0.25], [0.5, 1]], [[0, 0], [1, 1]]],
            "normalize 0 to 4",
        ),
    ):
        done, steps = rendered(channels, rendering)
        assert np.allclose(done, expected)
        assert steps == (step,)


def test_the_input_size_of_a_model_without_pictures_is_refused_with_a_way_out():
    with pytest.raises(BadQuestion, match="ask for size layer"):
        render(RAW[None], Rendering("input"), None)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (pb.Rendering(data_type=pb.DATA_TYPE_UINT8), "ask for normalize as well"),
        (pb.Rendering(data_type=pb.DATA_TYPE_INT64), "float32, float16, uint8"),
        (pb.Rendering(normalize=True, value_range={"low": 1, "high": 1}), "not from 1 to 1"),
        (pb.Rendering(normalize=True, value_range={"low": 0, "high": np.inf}), "not from 0 to inf"),
        (pb.Rendering(normalize=True, value_range={"high": 1}, each_channel=True), "either each channel"),
        (pb.Rendering(size=pb.Rendering.SIZE_EXPLICIT), "both sides must lie between 1 and"),
        (pb.Rendering(size=pb.Rendering.SIZE_EXPLICIT, height=10**6, width=9), "both sides must lie between 1 and"),
    ],
)
def test_impossible_renderings_are_refused(message, says):
    with pytest.raises(BadQuestion, match=says):
        read_rendering(message, Rendering())


PGC = PROFILES["pytorch-grad-cam"].rendering
KERAS = PROFILES["keras-tutorial"].rendering
UINT8 = np.dtype(np.uint8)


@pytest.mark.parametrize(
    ("usual", "message", "wanted"),
    [
        (Rendering(), pb.Rendering(), Rendering()),
        (Rendering(), pb.Rendering(relu=True, normalize=True), Rendering(steps=("relu", "resize", "normalize"))),
        (PGC, pb.Rendering(), PGC),
        (PGC, pb.Rendering(relu=True, normalize=True), PGC),
        (PGC, pb.Rendering(size=pb.Rendering.SIZE_LAYER), replace(PGC, size="layer")),
        (PGC, pb.Rendering(relu=False), replace(PGC, steps=("normalize", "resize", "normalize"))),
        (PGC, pb.Rendering(normalize=False), replace(PGC, steps=("relu", "resize"))),
        (KERAS, pb.Rendering(), KERAS),
        (KERAS, pb.Rendering(normalize=False), replace(KERAS, steps=("relu", "resize"), dtype=np.dtype(np.float32))),
        (PGC, pb.Rendering(data_type=pb.DATA_TYPE_UINT8), replace(PGC, dtype=UINT8)),
    ],
)
def test_what_a_question_says_goes_before_what_its_profile_says(usual, message, wanted):
    assert read_rendering(message, usual) == wanted


def test_what_a_profile_divides_by_is_enlarged_by_its_epsilon():
    heatmap, steps = rendered(np.array([[1.0, 3.0]], np.float32), Rendering(steps=("normalize",), epsilon=2.0))
    assert heatmap.tolist() == [[0, 0.5]]
    assert steps == ("normalize min-max with 2",)


@pytest.mark.parametrize(("dtype", "apart"), [(np.float16, 2**-11), (np.uint8, 0.5)])
def test_narrow_maps_are_the_wide_one_rounded(dtype, apart):
    whole = 255 if dtype == np.uint8 else 1
    wide, _ = rendered(RAW, Rendering(steps=("normalize",)))
    narrow, steps = rendered(RAW, Rendering(steps=("normalize",), dtype=np.dtype(dtype)))
    assert (narrow.dtype, steps[-1]) == (dtype, np.dtype(dtype).name)
    assert abs(narrow.astype(np.float32) - whole * wide).max() <= apart


@pytest.mark.parametrize("value", [1e5, -1e5, 1e-6])
def test_a_map_that_float16_cannot_hold_is_refused_with_the_way_out(value):
    with pytest.raises(BadQuestion, match=r"float16 holds 6\.1e-05 to 65504: ask for normalize"):
        rendered(np.array([[0, value]], np.float32), Rendering(dtype=np.dtype(np.float16)))


@pytest.mark.parametrize(("value", "byte"), [(np.nan, 0), (np.inf, 0)])
def test_what_is_not_finite_becomes_a_byte_that_is_the_same_everywhere(value, byte):
    heatmap, _ = rendered(np.array([[0, value, 1]], np.float32), Rendering(steps=("normalize",), dtype=UINT8))
    assert heatmap[0, 1] == byte


def test_a_map_of_zeros_is_a_map_of_zeros_in_float16():
    heatmap, _ = rendered(np.zeros((2, 2), np.float32), Rendering(dtype=np.dtype(np.float16)))
    assert not heatmap.any()
