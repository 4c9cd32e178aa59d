"""Mosaics beside torchvision's make_grid, whose arithmetic is worked here by hand."""

import numpy as np
import pytest

import backlit
from backlit import sheets
from backlit.mosaics import squarest
from backlit_proto.errors import BadQuestion

THREE = np.array([[[1, 2]], [[3, 4]], [[5, 9]]], np.float32)  # three maps of 1 x 2
A, B, C = THREE[:, 0].tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"padding": 0}, [[*A, *B, *C]]),
        ({"padding": 0, "nrow": 1}, [A, B, C]),
        ({"padding": 0, "nrow": 2, "pad_value": 7}, [[*A, *B], [*C, 7, 7]]),
        ({"padding": 1, "nrow": 2}, [[0] * 7, [0, *A, 0, *B, 0], [0] * 7, [0, *C, 0, 0, 0, 0], [0] * 7]),
        ({"padding": 0, "normalize": True}, [[0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 1]]),
        ({"padding": 0, "normalize": True, "scale_each": True}, [[0, 1, 0, 1, 0, 1]]),
        ({"padding": 0, "normalize": True, "value_range": (2, 4)}, [[0, 0, 0.5, 1, 1, 1]]),
        ({"padding": 0, "normalize": True, "scale_each": True, "value_range": (1, 5)}, [[0, 0.25, 0.5, 0.75, 1, 1]]),
        ({"padding": 1, "normalize": True, "pad_value": 0.5, "nrow": 9},
         [[0.5] * 10, [0.5, 0, 0.125, 0.5, 0.25, 0.375, 0.5, 0.5, 1, 0.5], [0.5] * 10]),
    ],
    ids=str,
)  # fmt: skip
def test_a_mosaic_is_laid_out_and_scaled_like_make_grid(options, expected):
    assert np.allclose(backlit.mosaic(THREE, **options), expected, rtol=0, atol=1e-7)


def test_pictures_keep_their_channels_and_are_scaled_over_all_of_them():
    pictures = np.stack([THREE, 2 * THREE])  # two of three channels
    made = backlit.mosaic(pictures, padding=0, normalize=True, scale_each=True)
    assert made.shape == (3, 1, 4)
    assert np.allclose(made[:, :, :2], made[:, :, 2:])
    assert made.max() == made[2, 0, 1] == 1


def test_a_single_map_stays_without_a_border_and_a_constant_one_becomes_zero():
    assert backlit.mosaic(THREE[:1]).tolist() == [A]
    assert not backlit.mosaic(np.full((1, 2, 2), 5.0), normalize=True).any()


def test_the_maps_are_left_as_they_were():
    before = THREE.copy()
    backlit.mosaic(THREE, normalize=True, value_range=(2, 4))
    assert np.array_equal(THREE, before)


@pytest.mark.parametrize(
    ("maps", "options", "says"),
    [
        (THREE[0], {}, r"shape \(1, 2\)"),
        (THREE[:0], {}, r"shape \(0, 1, 2\)"),
        (THREE, {"nrow": 0}, "nrow of at least 1"),
        (THREE, {"padding": -1}, "padding of at least 0"),
        (THREE, {"scale_each": True}, "give normalize=True as well"),
        (THREE, {"value_range": (0, 1)}, "give normalize=True as well"),
    ],
)
def test_what_makes_no_mosaic_is_refused(maps, options, says):
    with pytest.raises(BadQuestion, match=says):
        backlit.mosaic(maps, **options)


@pytest.mark.parametrize(
    ("count", "size", "columns"), [(64, (7, 7), 8), (32, (10, 40), 3), (1, (3, 3), 1), (5, (9, 1), 5)]
)
def test_the_squarest_mosaic_is_about_as_high_as_wide(count, size, columns):
    assert squarest(count, *size) == columns


def test_signed_values_are_blue_below_zero_and_red_above_and_equal_values_are_equal_colors():
    shades = sheets.around_zero(np.array([-1.0, 4.0]))
    low, zero, high = shades(np.array([[[-4.0, 0.0, 4.0]]]))[0, :, 0].T
    assert low[2] > 2 * low[0]
    assert high[0] > 2 * high[2]
    assert zero.min() > 0.95
    assert (shades.low, shades.high) == (-4, 4)


def test_a_page_shows_every_value_as_a_square_of_its_color():
    values = np.arange(4.0).reshape(1, 2, 2)
    figure = sheets.maps(values, "caption", padding=0)
    figure.canvas.draw()
    (axis, scale) = figure.axes
    shown = np.asarray(axis.images[0].get_array())
    assert np.allclose(np.moveaxis(shown, -1, 0), sheets.spanning(values)(values)[0])
    assert np.allclose(axis.get_window_extent().size, sheets.SIDE)
    assert scale.get_ylim() == (0, 3)


def test_a_page_of_maps_scaled_each_shows_the_faint_one_as_bright_as_the_strong_one():
    values = np.array([[[0, 1]], [[0, 100]], [[5, 5]]], np.float32)
    (axis,) = sheets.maps_each(values, nrow=1, padding=0).axes
    faint, strong, constant = np.asarray(axis.images[0].get_array())
    assert np.array_equal(faint, strong)
    assert np.array_equal(constant[0], constant[1])
