"""`backlit features` and renderings of channels, through a real server and on real models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import backlit
from backlit.cli import main

LAYER = "/_blocks.1/_swish/Clip_output_0"


@pytest.fixture
def words(address: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("BACKLIT_SERVER", address)
    model, photo = shared / "models/efficientnet-lite0.onnx", shared / "photos/dog_and_cat.png"
    return ["features", str(model), str(photo), "--preset", "efficientnet-lite"]


def raw(words: list[str], out: Path) -> np.ndarray:
    assert main([*words, "--out", str(out)]) == 0
    return np.load(out)


def test_the_values_of_a_layer_are_written_as_they_are(words, tmp_path, capsys):
    chosen = raw([*words, "--layer", LAYER, "--channels", "9,0"], tmp_path / "chosen.npy")
    every = raw([*words, "--layer", LAYER], tmp_path / "all.npy")
    assert every.shape == (96, 112, 112)
    assert np.array_equal(chosen, every[[9, 0]])
    told = capsys.readouterr().out
    assert f"{LAYER}: 2 maps of 112x112, {chosen.min():.4g} to {chosen.max():.4g}" in told


@pytest.mark.parametrize(
    "how", [["--scale-each"], ["--value-range", "0,6", "--nrow", "3"], ["--padding", "0"]], ids=lambda how: how[0]
)
def test_the_mosaic_is_a_picture_that_is_not_empty(words, how, tmp_path, capsys):
    out = tmp_path / "deep" / "f.png"
    assert main([*words, "--layer", LAYER, "--channels", "0,5,7,9,11,13", *how, "--out", str(out)]) == 0
    assert f"-> {out}" in capsys.readouterr().out
    with Image.open(out) as drawn:
        assert np.asarray(drawn.convert("L")).std() > 20


def test_the_servers_bytes_are_the_mosaic_of_the_raw_values(address, words, shared, tmp_path):
    with backlit.connect(address) as server:
        model = server.upload(words[1], preprocessing="efficientnet-lite")
        asked = {"layer": LAYER, "channels": [0, 5, 7]}
        (whole,) = model.explain(words[2], "feature-maps", **asked)
        renderings: list[tuple[Any, dict[str, Any]]] = [  # Any: as explain and mosaic take them
            (True, {}),
            ("each", {"scale_each": True}),
            ((0, 4), {"value_range": (0, 4)}),
        ]
        for normalize, options in renderings:
            (small,) = model.explain(words[2], "feature-maps", **asked, normalize=normalize, dtype="uint8")
            expected = np.rint(255 * backlit.mosaic(whole.heatmap, normalize=True, **options))
            assert np.abs(backlit.mosaic(small.heatmap) - expected).max() <= 1
            assert small.heatmap.nbytes * 4 == whole.heatmap.nbytes
            assert small.provenance.steps[0].startswith("normalize")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--layer", "nowhere"], "nowhere"),
        (["--channels", "5000"], "no channel 5000"),
        (["--nrow", "0", "--layer", LAYER, "--channels", "0,1"], "nrow of at least 1"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(words, more, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*words, *more]) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_not_there_is_told_before_any_work(words, capsys):
    assert main([*words[:2], "nowhere.jpg"]) == 1
    assert "nowhere.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--channels", "a,b"], ["--value-range", "6,0"], ["--value-range", "1"]])
def test_a_wrong_number_is_a_usage_error(words, wrong):
    with pytest.raises(SystemExit) as left:
        main([*words, *wrong])
    assert left.value.code == 2
