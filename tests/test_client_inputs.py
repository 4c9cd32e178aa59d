"""The grammar of inputs: arrays, pictures and files, as they may be given and as they travel."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backlit.inputs import encode_inputs
from backlit.specs import Input, TensorSpec
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_array

NCHW = Input(TensorSpec("image", "float32", (-1, 3, 4, 5), ("N", "", "", "")), "NCHW")
FREE = Input(TensorSpec("image", "float32", (-1, 3, -1, -1), ("N", "", "h", "w")), "NCHW")
BYTES = Input(TensorSpec("image", "uint8", (-1, 4, 5, 3), ("N", "", "", "")), "NHWC")
STATE = Input(TensorSpec("state", "float64", (-1, 2), ("N", "")), "")
IMAGE = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def sent(inputs: object, *expected: Input) -> np.ndarray:
    """The tensor that travels for the only input."""
    request = encode_inputs(inputs, expected or (NCHW,))
    assert not request.pictures
    (tensor,) = request.inputs.values()
    return to_array(tensor)


@pytest.mark.parametrize(
    ("given", "travels"),
    [
        (IMAGE, IMAGE[None]),
        (IMAGE[None], IMAGE[None]),
        (np.stack([IMAGE, IMAGE + 1]), np.stack([IMAGE, IMAGE + 1])),
        ([IMAGE, IMAGE + 1], np.stack([IMAGE, IMAGE + 1])),
        ([IMAGE[None], IMAGE[None] + 1], np.stack([IMAGE, IMAGE + 1])),
        (IMAGE.astype(np.float64), IMAGE[None]),
        (IMAGE.astype(">f4"), IMAGE[None]),
        (IMAGE[:, ::-1], IMAGE[None, :, ::-1]),
        (IMAGE.tolist(), IMAGE[None]),
        ({"image": IMAGE}, IMAGE[None]),
    ],
)
def test_an_array_travels_with_its_batch_axis_and_in_the_models_precision(given, travels):
    got = sent(given)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, travels)


def test_several_inputs_travel_by_name_each_in_its_own_precision():
    request = encode_inputs({"image": IMAGE, "state": np.array([1, 2], np.float32)}, (NCHW, STATE))
    np.testing.assert_array_equal(to_array(request.inputs["image"]), IMAGE[None])
    np.testing.assert_array_equal(to_array(request.inputs["state"]), np.array([[1.0, 2]]))


def test_whole_numbers_are_not_silently_made_floats():
    assert sent(IMAGE.astype(np.int64)).dtype == np.int64


def test_uint8_is_a_tensor_where_the_model_takes_uint8_of_that_shape():
    np.testing.assert_array_equal(sent(PIXELS, BYTES), PIXELS[None])
    np.testing.assert_array_equal(sent([PIXELS, PIXELS], BYTES), np.stack([PIXELS, PIXELS]))
    assert len(encode_inputs(PIXELS[:3], (BYTES,)).pictures) == 1  # another height: a picture to be prepared


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        (PIXELS, [(4, 5, 3)]),
        (PIXELS[..., 0], [(4, 5)]),
        ([PIXELS, PIXELS[:2]], [(4, 5, 3), (2, 5, 3)]),
        (np.stack([PIXELS, PIXELS]), [(4, 5, 3), (4, 5, 3)]),
        (Image.fromarray(PIXELS), [(4, 5, 3)]),
        (Image.fromarray(PIXELS[..., 0]), [(4, 5)]),
        (Image.fromarray(PIXELS).convert("RGBA"), [(4, 5, 3)]),
        (Image.fromarray(PIXELS).convert("P"), [(4, 5, 3)]),
    ],
)
def test_uint8_arrays_and_pillow_images_are_pictures_of_pixels(given, shapes):
    request = encode_inputs(given, (FREE,))
    assert not request.inputs
    assert [tuple(picture.pixels.shape) for picture in request.pictures] == shapes


def test_a_pillow_image_keeps_its_pixels():
    (picture,) = encode_inputs(Image.fromarray(PIXELS), (NCHW,)).pictures
    np.testing.assert_array_equal(to_array(picture.pixels), PIXELS)


def test_files_travel_as_they_are(tmp_path: Path):
    file = tmp_path / "cat.png"
    Image.fromarray(PIXELS).save(file)
    request = encode_inputs([file, str(file), file.read_bytes(), bytearray(file.read_bytes())], (NCHW,))
    assert [picture.file for picture in request.pictures] == [file.read_bytes()] * 4


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        ("nowhere/cat.jpg", [NCHW], "nowhere/cat.jpg"),
        ([], [NCHW], "empty"),
        (None, [NCHW], "None"),
        (object(), [NCHW], "object"),
        (np.zeros((2, 2), np.float32), [NCHW], r"'image' takes \[N, 3, 4, 5\], or \[3, 4, 5\].*got \[2, 2\]"),
        ([IMAGE, IMAGE[:, 1:]], [NCHW], "different shapes"),
        ([IMAGE, PIXELS], [NCHW], "mix"),
        (np.zeros((1, 3, 4, 5), np.uint8), [NCHW], "neither a picture"),
        (IMAGE, [NCHW, STATE], "2 inputs"),
        ({"picture": IMAGE}, [NCHW], "no input 'picture'; it has image"),
        (IMAGE.astype(np.complex64), [NCHW], "complex64"),
    ],
)
def test_inputs_that_cannot_be_meant_are_refused(given, expected, said):
    with pytest.raises(BadQuestion, match=said):
        encode_inputs(given, expected)
