"""Where a map lies on the picture: what the model saw of it, and each cell on its pixels."""

from dataclasses import replace

import numpy as np
import pytest

from backlit import Preprocessing
from backlit.placement import Box, place, seen
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
    rows, columns = np.average(np.indices(heat.shape).reshape(2, -1), axis=1, weights=heat.ravel())
    return rows + 0.5, columns + 0.5


def test_between_two_cells_the_heat_is_between_theirs():
    placed = place(np.array([[0, 1]]), Box(0, 0, 4, 8), (4, 8))
    np.testing.assert_allclose(placed[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], atol=1e-6)


def test_what_the_model_did_not_see_has_no_heat():
    placed = place(np.ones((5, 5), np.float32), seen((200, 300), CROP), (200, 300))
    assert np.isnan(placed[:, :50]).all()
    assert np.isnan(placed[:, 250:]).all()
    np.testing.assert_allclose(placed[:, 50:250], 1, rtol=1e-6)
