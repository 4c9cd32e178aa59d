"""Pictures become inputs exactly as the preprocessing says; what is no picture is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.graph import ImageInput
from preparing import prepare

PIXELS = np.random.default_rng(5).integers(0, 256, (60, 90, 3), np.uint8)
EXPECTED = ImageInput(np.dtype(np.float32), "NCHW", 3, 48, 48)


def encoded(form: str, pixels: np.ndarray = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def prepared(picture, expected: ImageInput = EXPECTED, **declared) -> np.ndarray:
    return prepare([picture], pb.Preprocessing(**declared), expected)


def test_a_png_and_its_pixels_are_the_same_input():
    assert np.array_equal(prepared(encoded("PNG"), preset="unit"), prepared(PIXELS, preset="unit"))


def test_the_imagenet_preset_is_torchvisions_normalisation():
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    stretched = np.asarray(Image.fromarray(PIXELS).resize((48, 48), Image.Resampling.BILINEAR), np.float32)
    expected = ((stretched / 255 - mean) / std).transpose(2, 0, 1)[None]
    assert np.allclose(prepared(PIXELS, preset="imagenet", fit=pb.Preprocessing.FIT_STRETCH), expected, atol=1e-5)


def test_cropping_cuts_the_centre_without_changing_proportions():
    square = PIXELS[:, 15:75]
    expected = np.asarray(Image.fromarray(square).resize((48, 48), Image.Resampling.BILINEAR), np.float32)
    cropped = prepared(PIXELS, preset="raw", crop=1.0)[0].transpose(1, 2, 0)
    # At its left and right edge the crop may look at the pixels just outside of it.
    assert np.array_equal(cropped[:, 1:-1], expected[:, 1:-1])


def test_padding_keeps_the_whole_picture_and_fills_with_the_mean():
    image = prepared(PIXELS, mean=[100.0], std=[1.0], fit=pb.Preprocessing.FIT_PAD)[0]
    assert not image[:, :8].any()
    assert not image[:, 40:].any()
    assert image[:, 8:40].any()


def test_bgr_swaps_the_channels_before_the_mean_is_taken_away():
    rgb = prepared(PIXELS, preset="raw")
    bgr = prepared(PIXELS, mean=[1.0, 2.0, 3.0], std=[1.0], color=pb.Preprocessing.COLOR_BGR)
    assert np.allclose(bgr, rgb[:, ::-1] - np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1))


def test_the_layout_follows_the_model():
    nhwc = ImageInput(np.dtype(np.float32), "NHWC", 3, 48, 48)
    assert np.array_equal(prepared(PIXELS, nhwc, preset="unit"), prepared(PIXELS, preset="unit").transpose(0, 2, 3, 1))


def test_a_grey_input_gets_a_grey_picture():
    grey = ImageInput(np.dtype(np.float32), "NCHW", 1, 28, 28)
    assert prepared(PIXELS, grey, preset="unit").shape == (1, 1, 28, 28)


def test_an_integer_input_gets_the_pixels_themselves():
    pixels = ImageInput(np.dtype(np.uint8), "NHWC", 3, 60, 90)
    assert np.array_equal(prepared(PIXELS, pixels, crop=1.0)[0], PIXELS)


@pytest.mark.parametrize("width", [1, 23, 97, 224, 449])
def test_the_whole_of_a_square_picture_can_be_asked_for(width):
    """Half of 23 / 224 * 224 is a little more than half of 23: no reason to look outside the picture."""
    square = ImageInput(np.dtype(np.float32), "NHWC", 3, 224, 224)
    pixels = np.full((width, width, 3), 7, np.uint8)
    assert (prepared(pixels, square, preset="raw", crop=1.0) == 7).all()


def test_padding_of_bgr_is_the_mean_of_each_color():
    image = prepared(PIXELS, preset="caffe", fit=pb.Preprocessing.FIT_PAD)[0]
    assert abs(image[:, :8]).max() <= 0.5  # pixels are whole numbers, the mean is none


@pytest.mark.parametrize(
    ("picture", "declared", "says"),
    [
        (PIXELS.astype(np.float32), {}, "uint8 pixels"),
        (PIXELS[:0], {}, "no pixels"),
        (PIXELS, {"preset": "nope"}, "there are imagenet, inception"),
        (PIXELS, {"std": [0.0], "mean": [0.0]}, "std of 0"),
        (PIXELS, {"std": [1e-40], "mean": [0.0]}, "std of 0"),
        (PIXELS, {"std": [1.0], "mean": [np.nan]}, "not finite"),
        (PIXELS, {"crop": 1.5}, "crop lies between 0 and 1"),
        (PIXELS, {"height": 10**6}, "8192 at most"),
        (PIXELS, {"fit": 77}, "no fit 77"),
        (PIXELS, {"mean": [1.0, 2.0]}, "give 1, or 3 for RGB"),
        (PIXELS, {"color": pb.Preprocessing.COLOR_GREY}, "another color"),
    ],
)
def test_what_cannot_be_prepared_is_refused(picture, declared, says):
    with pytest.raises(BadQuestion, match=says):
        prepared(picture, **declared)


def test_an_input_without_fixed_size_needs_one_in_the_preprocessing():
    free = ImageInput(np.dtype(np.float32), "NCHW", 3, 0, 0)
    with pytest.raises(BadQuestion, match="give them in the preprocessing"):
        prepared(PIXELS, free)
    assert prepared(PIXELS, free, height=32, width=64).shape == (1, 3, 32, 64)
