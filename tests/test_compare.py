"""`backlit compare`: methods beside one another, through a real server and on a real model."""

import argparse
import csv
import importlib
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import backlit
from backlit.cli import main
from backlit.comparing import expanded, wanted
from backlit.comparison import mean
from backlit_server.methods import bind
from backlit_server.methods.measures import bind_measure

HUSKY, SPIDER = "250_Siberian_husky.JPEG", "070_harvestman.JPEG"
MEASURES = "average-drop:keep=0.5:fill=black,sparseness,seconds"


@pytest.fixture
def words(address: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line without its pictures."""
    monkeypatch.setenv("BACKLIT_SERVER", address)
    return ["compare", str(shared / "models/efficientnet-lite0.onnx"), "--preset", "efficientnet-lite"]


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    """Two photographs and a file that is none."""
    made = tmp_path / "pictures"
    made.mkdir()
    for name in (HUSKY, SPIDER):
        (made / name).write_bytes((shared / "photos/imagenet" / name).read_bytes())
    (made / "broken.jpg").write_bytes(b"no picture")
    (made / "notes.txt").write_text("neither")
    return made


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_methods_are_compared_over_the_pictures_that_can_be_read(words, folder, tmp_path, capsys):
    out = tmp_path / "out"
    asked = ["--methods", "grad-cam,random-cam:seed=3", "--measures", MEASURES, "--out", str(out)]
    assert main([*words, str(folder), *asked]) == 0
    told = capsys.readouterr()
    assert "skipped" in told.err
    assert "broken.jpg" in told.err
    assert "over 2 pictures; 1 skipped" in told.out
    assert "average-drop:keep=0.5:fill=black ↓" in told.out
    means, values = rows(out / "means.csv"), rows(out / "values.csv")
    assert [(m["method"], m["measure"].partition(":")[0]) for m in means] == [
        (method, measure)
        for method in ("grad-cam", "random-cam:seed=3")
        for measure in ("average-drop", "sparseness", "seconds")
    ]
    for m in means:
        own = [float(v["value"]) for v in values if (v["method"], v["measure"]) == (m["method"], m["measure"])]
        assert len(own) == 2
        assert float(m["mean"]) == pytest.approx(np.mean(own))
        assert float(m["error"]) == pytest.approx(np.std(own, ddof=1) / np.sqrt(2))
    context = {name: means[0][name] for name in ("fill", "normalisation", "score", "target_choice", "pictures")}
    assert context == {
        "fill": "black",
        "normalisation": "relu",
        "score": "probability",
        "target_choice": "top 1",
        "pictures": "2",
    }


def test_every_file_tells_the_same_numbers(words, folder, address, tmp_path, capsys):
    out = tmp_path / "out"
    asked = ["--methods", "grad-cam", "--measures", "sparseness,deletion:steps=2", "--out", str(out), "--sheet", "1"]
    assert main([*words, str(folder / HUSKY), *asked]) == 0
    everything = json.loads((out / "comparison.json").read_text())
    page = (out / "comparison.md").read_text()
    printed = capsys.readouterr().out
    with backlit.connect(address) as server:
        model = server.model(everything["model"])
        (own,) = model.explain(
            folder / HUSKY, preprocessing="efficientnet-lite", measures=["sparseness", ("deletion", {"steps": 2})]
        )
    for measurement, row in zip(own.measurements, everything["means"], strict=True):
        assert row["mean"] == pytest.approx(measurement.value, rel=1e-5)
        assert row["error"] is None  # of a single picture there is none
        assert f"{row['mean']:.4g}" in page
        assert f"{row['mean']:.4g}" in printed
    assert len(own.measurements[1].curve) == 3
    assert everything["images"][:12] in page
    with Image.open(out / "overlays.png") as drawn:
        assert np.asarray(drawn.convert("L")).std() > 20


def test_what_the_model_cannot_answer_is_left_out_and_said(words, folder, tmp_path, shared, capsys):
    words[1] = str(shared / "models/squeezenet11-ndf.onnx")
    words[-1] = "imagenet"
    asked = ["--methods", "cam,grad-cam", "--measures", "sparseness", "--out", str(tmp_path / "out")]
    code = main([*words, str(folder / HUSKY), *asked])
    told = capsys.readouterr()
    assert code == 0
    left = [line for line in told.err.splitlines() if line.startswith("left out")]
    methods = [row["method"] for row in rows(tmp_path / "out/means.csv")]
    assert len(left) + len(methods) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--methods", "grad-kam"], "there is no method 'grad-kam'; there are score"),
        (["--measures", "average-rise"], "there is no measure 'average-rise'; there are average-drop"),
        (["--measures", "deletion:steps=0"], "steps must be"),
    ],
)
def test_what_cannot_be_compared_is_refused(words, folder, asked, said, capsys):
    assert main([*words, str(folder / HUSKY), *asked]) == 1
    assert said in capsys.readouterr().err


def test_a_folder_without_pictures_is_refused(words, tmp_path, capsys):
    assert main([*words, str(tmp_path)]) == 1
    assert "there is no picture" in capsys.readouterr().err


def test_folders_stand_for_their_pictures_by_name(folder):
    assert [path.name for path in expanded([folder])] == [SPIDER, HUSKY, "broken.jpg"]
    assert expanded([folder / HUSKY, folder])[0].name == HUSKY


def test_names_may_have_parameters_and_these_lists():
    first, second = wanted("rise:masks=500:seed=2,road:shares=[0.1,0.5]")
    assert (first.name, first.parameters) == ("rise", {"masks": 500, "seed": 2})
    assert (second.label, second.parameters) == ("road:shares=[0.1,0.5]", {"shares": [0.1, 0.5]})
    with pytest.raises(argparse.ArgumentTypeError, match="rise:masks=500"):
        wanted("rise:masks")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0], (2, 1, 2)),
        ([1.0, math.nan, 3.0, math.inf], (2, 1, 2)),  # what is not finite is left out of the count
        ([5.0], (5, math.nan, 1)),
        ([], (math.nan, math.nan, 0)),
    ],
)
def test_means_tell_their_standard_error_and_of_how_many(values, expected):
    found = mean(values)
    assert (found.mean, found.error, found.count) == pytest.approx(expected, nan_ok=True)


def test_measures_are_listed_with_their_parameters(address):
    with backlit.connect(address) as server:
        found = {row.name: row for row in server.measures()}
    assert found["average-drop"].better == "lower"
    assert found["insertion"].better == "higher"
    assert {p.name: p.default for p in found["insertion"].parameters} == {
        "steps": 20,
        "fill": "blur",
        "score": "probability",
    }


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The recipe of the page of measures, which is no package's."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "models")
    return importlib.import_module("compare_methods")


def test_the_page_of_measures_asks_for_what_there_is(page):
    for asked in wanted(page.METHODS):
        bind(asked.name, {name: value for name, value in asked.parameters.items() if name != "profile"})
    for asked in wanted(page.MEASURES):
        bind_measure(asked.name, asked.parameters)


def test_the_page_says_what_lies_near_layer_cam(page):
    pictures = {"a": 0.2, "b": 0.4, "c": 0.3}
    apart = {page.NEAR: 0, page.PAPER: 0.01, page.OTHERS: -0.3, page.FLOOR: 1}
    drops = {name: {p: drop + more for p, drop in pictures.items()} for name, more in apart.items()}
    told = page.prediction(drops)
    assert "- grad-cam++: +0.0100 ± " in told
    assert [line.rpartition(", ")[2] for line in told.splitlines() if line.startswith("- ")] == ["near", "far", "far"]
