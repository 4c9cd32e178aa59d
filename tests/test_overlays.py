"""How a map is drawn over its picture: colours, titles, figures; and how pictures are read."""

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
from backlit_proto.errors import BadQuestion

CROP = Preprocessing(fit="crop", height=100, width=100, crop=1.0)
STRETCH = Preprocessing(fit="stretch", height=100, width=100)


def explained(heatmap: np.ndarray, by: Preprocessing | None = None, **changes) -> Explanation:
    told = {"target": 281, "name": "tabby", "status": "OK"} | changes
    provenance = Provenance(
        model_digest="",
        graph_digest="",
        execution_provider="",
        versions={},
        parameters={},
        profile="paper",
        steps=told.pop("steps", ()),
        forward_passes=1.0,
        backward_passes=0.0,
        head_passes=1.0,
        preprocessing=by,
        preprocessing_assumed=False,
        arithmetic=Arithmetic(False, ()),
        device="cpu",
        execution=Execution("single", False, False, ""),
    )
    return Explanation(
        heatmap=heatmap,
        image=0,
        method="grad-cam",
        layer="l",
        score=8.25,
        output=0.5,
        note="",
        provenance=provenance,
        **told,
    )


def test_only_the_hot_part_of_a_photo_changes_and_the_unseen_part_is_dimmed():
    photo = np.full((100, 200, 3), 128, np.uint8)
    heatmap = np.zeros((5, 5), np.float32)
    heatmap[2, 2] = 1
    drawn = blend(photo, explained(heatmap, CROP)).astype(int)
    assert abs(drawn[50, 100] - 128).max() > 60
    np.testing.assert_array_equal(drawn[5:15, 55:145], 128)
    assert (drawn[:, :50] < 128).all()


def test_a_few_outliers_of_a_fine_map_do_not_leave_the_rest_in_the_dark():
    photo = np.full((100, 100, 3), 128, np.uint8)
    fine = np.zeros((100, 100), np.float32)
    fine[:, 50:] = 1
    fine[0, 0] = 1000
    drawn = blend(photo, explained(fine)).astype(int)
    assert abs(drawn[50, 75] - 128).max() > 60
    coarse = np.array([[1000.0, 1], [0, 1]], np.float32)
    assert abs(blend(photo, explained(coarse)).astype(int)[99, 99] - 128).max() < 5


def test_of_a_map_that_is_positive_everywhere_the_smallest_value_is_cold():
    photo = np.full((100, 100, 3), 128, np.uint8)
    drawn = blend(photo, explained(np.array([[5.0, 5.0], [5.0, 6.0]], np.float32))).astype(int)
    np.testing.assert_array_equal(drawn[10, 10], 128)
    assert abs(drawn[90, 90] - 128).max() > 60


def test_a_fine_map_with_signs_is_red_for_the_target_and_blue_against_it():
    photo = np.full((100, 100, 3), 128, np.uint8)
    fine = np.zeros((100, 100), np.float32)
    fine[:, :40], fine[:, 60:] = -2, 2
    drawn = blend(photo, explained(fine)).astype(int)
    assert drawn[50, 20, 2] > drawn[50, 20, 0] + 100
    assert drawn[50, 80, 0] > drawn[50, 80, 2] + 100
    assert len({*drawn[50, 50].tolist()}) == 1
    np.testing.assert_array_equal(blend(photo, explained(-fine))[:, ::-1], drawn)


@pytest.mark.parametrize(
    ("changes", "lowest"), [({"steps": ("resize 100x100 bilinear",)}, -2.0), ({}, -0.001)], ids=["enlarged", "rounding"]
)
def test_regions_are_drawn_by_what_speaks_for_the_target_however_large_they_come(changes, lowest):
    photo = np.full((100, 100, 3), 128, np.uint8)
    heatmap = np.full((100, 100), lowest, np.float32)
    heatmap[:50] = 1
    drawn = blend(photo, explained(heatmap, **changes)).astype(int)
    np.testing.assert_array_equal(drawn[75], 128)
    assert abs(drawn[25] - 128).max() > 60


def test_scores_cover_nothing_and_of_channels_the_mean_is_drawn_and_told():
    photo = np.full((20, 20, 3), 128, np.uint8)
    scores = explained(np.arange(5, dtype=np.float32).reshape(5, 1, 1))
    np.testing.assert_array_equal(blend(photo, scores), photo)
    channels = np.zeros((2, 2, 2), np.float32)
    channels[0, 0, 0], channels[1, 0, 1] = 3, 3
    drawn = blend(photo, explained(channels)).astype(int)
    np.testing.assert_array_equal(drawn[0, 0], drawn[0, -1])
    assert "mean of 2 channels" in title(explained(channels))
    assert "mean" not in title(scores)


@pytest.mark.parametrize("heatmap", [np.full((3, 3), -1.0), np.zeros((3, 3)), np.zeros((2, 3, 3))])
def test_a_map_without_anything_positive_leaves_the_photo_as_it_is(heatmap):
    photo = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    np.testing.assert_array_equal(blend(photo, explained(heatmap.astype(np.float32))), photo)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "grad-cam: tabby (8.25)"),
        ({"name": ""}, "grad-cam: class 281 (8.25)"),
        ({"name": "", "target": None}, "grad-cam: seed (8.25)"),
        ({"status": "ALL_NONPOSITIVE"}, "grad-cam: tabby (8.25)\nall nonpositive"),
    ],
)
def test_a_title_names_method_class_and_score_and_what_to_be_wary_of(changes, said):
    assert title(explained(np.ones((2, 2)), **changes)) == said


@pytest.mark.parametrize(("by", "corners"), [(STRETCH, (40, 20, 80, 50)), (None, (20, 20, 40, 50))])
def test_the_box_of_a_detector_is_drawn_around_what_it_found(by, corners):
    """In pixels of the picture that was sent; of an input that the caller prepared, at the size of the photo."""
    photo = np.full((100, 200, 3), 128, np.uint8)
    found = DetectedBox(0, corners, 0.0, "xyxy-pixels", False)
    drawn = blend(photo, explained(np.zeros((3, 3), np.float32), by, detection=found), input_size=(100, 100))
    rows, columns = np.nonzero((drawn == 255).all(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 50, 40, 80)
    np.testing.assert_array_equal(drawn[25:45, 45:75], 128)


ROWS = {
    "two methods of two classes": ([("a", 1), ("a", 2), ("b", 1), ("b", 2)], (2, 2)),
    "two classes by three methods": ([(m, k) for k in (1, 2) for m in "abc"], (2, 3)),
    "five methods of one class": ([(m, 1) for m in "abcde"], (2, 3)),
    "one method of five classes": ([("a", k) for k in range(5)], (2, 3)),
    "one map": ([("a", 1)], (1, 1)),
}


@pytest.mark.parametrize(("asked", "expected"), ROWS.values(), ids=ROWS.keys())
def test_what_belongs_together_makes_a_row(asked, expected):
    one = explained(np.eye(3, dtype=np.float32))
    maps = [replace(one, method=method, target=target) for method, target in asked]
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
