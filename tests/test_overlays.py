"""A heatmap lies on the picture exactly where the model looked."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from backlit import DetectedBox, Explanation, Preprocessing, Provenance
from backlit.card import Arithmetic
from backlit.devices import Execution
from backlit.pictures import blend, load, overlay, title
from backlit.placement import Box, place, seen
from backlit_proto.errors import BadQuestion
from backlit_server.graph import ImageInput
from preparing import prepare

CROP = Preprocessing(fit="crop", height=100, width=100, crop=1.0)
CENTRE = Preprocessing(fit="crop", height=100, width=100, crop=0.5)
WIDE = Preprocessing(fit="crop", height=50, width=100, crop=1.0)
STRETCH = Preprocessing(fit="stretch", height=100, width=100)
PAD = Preprocessing(fit="pad", height=100, width=100)


@pytest.mark.parametrize(
    ("picture", "by", "box"),
    [
        ((200, 300), CROP, Box(0, 50, 200, 200)),
        ((300, 200), CROP, Box(50, 0, 200, 200)),
        ((200, 300), CENTRE, Box(50, 100, 100, 100)),
        ((200, 300), WIDE, Box(25, 0, 150, 300)),
        ((200, 300), STRETCH, Box(0, 0, 200, 300)),
        ((200, 300), PAD, Box(-50, 0, 300, 300)),
        ((200, 300), None, Box(0, 0, 200, 300)),
        ((200, 300), Preprocessing(fit="crop", crop=1.0), Box(0, 0, 200, 300)),
    ],
)
def test_what_the_model_saw_is_a_box_of_the_picture(picture, by, box):
    assert seen(picture, by) == box


def test_the_cards_input_size_stands_in_for_a_preprocessing_without_one():
    assert seen((200, 300), Preprocessing(fit="crop", crop=1.0), (224, 224)) == Box(0, 50, 200, 200)


@pytest.mark.parametrize(
    ("by", "cell", "middle"),
    [
        # A 5 x 5 map over a picture of 200 x 300: the cell's middle, in rows and columns of the picture.
        (CROP, (1, 1), (60, 110)),
        (CROP, (3, 2), (140, 150)),
        (CENTRE, (1, 1), (80, 130)),
        (STRETCH, (1, 3), (60, 210)),
        (STRETCH, (3, 1), (140, 90)),
        (PAD, (2, 1), (100, 90)),
        (PAD, (2, 3), (100, 210)),
        (None, (1, 3), (60, 210)),
    ],
)
def test_a_hot_cell_lands_on_its_pixels(by, cell, middle):
    heatmap = np.zeros((5, 5), np.float32)
    heatmap[cell] = 1
    placed = place(heatmap, seen((200, 300), by), (200, 300))
    assert placed.shape == (200, 300)
    assert centroid(np.nan_to_num(placed)) == pytest.approx(middle, abs=1e-3)


@pytest.mark.parametrize("by", [CROP, CENTRE, WIDE, STRETCH, PAD])
def test_what_the_server_makes_of_a_spot_is_placed_back_on_the_spot(by):
    picture = np.zeros((200, 300), np.uint8)
    picture[85:95, 170:180] = 255
    expected = ImageInput(np.dtype(np.float32), "NHWC", 1, by.height, by.width)
    prepared = prepare([picture], replace(by, preset="raw").message(), expected)[0, :, :, 0]
    box = seen((200, 300), by)
    placed = place(prepared - prepared.min(), box, (200, 300))
    assert centroid(np.nan_to_num(placed)) == pytest.approx((90, 175), abs=0.6 * box.height / by.height)


def centroid(heat: np.ndarray) -> tuple[float, float]:
    """The middle of the heat, in coordinates where pixel 0 spans 0 to 1."""
    spec = overlay(np.zeros((10, 10, 3), np.uint8), maps).axes[0].get_subplotspec()
    assert spec is not None
    rows, columns = spec.get_gridspec().get_geometry()
    assert (rows, columns - 1) == expected


def test_a_long_title_has_room_above_its_picture():
    photo = np.zeros((100, 100, 3), np.uint8)
    long = explained(np.eye(3, dtype=np.float32), target=None, name="", description="the mean of what it is " * 8)
    figure = overlay(photo, [long])
    figure.draw_without_rendering()
    tops = [axis.title.get_window_extent().y1 for axis in figure.axes]
    assert max(tops) <= figure.bbox.y1


def test_a_figure_shows_the_photo_and_every_overlay():
    photo = np.zeros((20, 30, 3), np.uint8)
    heatmap = np.eye(3, dtype=np.float32)
    figure = overlay(photo, [explained(heatmap, name=f"$class_{i}") for i in range(5)])
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == ["", *(f"grad-cam: $class_{i} (8.25)" for i in range(5))]
    np.testing.assert_array_equal(shown[0].images[0].get_array(), photo)
    file = io.BytesIO()
    figure.savefig(file)
    with Image.open(file) as drawn:
        assert min(drawn.size) > 300


def test_pictures_of_every_form_are_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    for form in (pixels, image, tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()):
        np.testing.assert_array_equal(load(form), pixels)
    np.testing.assert_array_equal(load(pixels[..., 0]), np.repeat(pixels[..., :1], 3, axis=2))


def test_what_is_no_picture_is_refused():
    with pytest.raises(BadQuestion, match="cannot be read"):
        load(b"GIF? no")


def test_a_photo_is_turned_the_way_its_camera_was_held(tmp_path):
    image = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # Orientation: a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert load(tmp_path / "turned.jpg").shape == (6, 4, 3)


def test_without_the_extra_the_way_to_get_it_is_said():
    program = "import sys; sys.modules['matplotlib'] = None\nimport backlit.pictures"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'backlit[pictures]'" in outcome.stderr
