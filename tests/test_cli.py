"""The `backlit` command, as a person types it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backlit.cli import COMMANDS, main, parser
from backlit.commands import read_labels
from backlit.explaining import overlay_files
from backlit.progress import shown
from real_server import real_server

PREPARED = ["--preset", "efficientnet-lite"]


@pytest.fixture(scope="module")
def server_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_server(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture
def address(server_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a user whose server runs elsewhere."""
    monkeypatch.setenv("BACKLIT_SERVER", server_address)


def arguments(*words: str):
    return parser().parse_args(words)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--target", "281", "--target", "tabby cat", "--target", "top3"], "target", [281, "tabby cat", "top3"]),
        (["--method", "cam", "--method", "grad-cam"], "method", ["cam", "grad-cam"]),
        (["--size", "input"], "size", "input"),
        (["--size", "10x20"], "size", (10, 20)),
        (["--set", "masks=4000", "--set", "mode=blur"], "set", [("masks", 4000), ("mode", "blur")]),
        (["--mean", "1,2.5,3"], "mean", (1, 2.5, 3)),
        (["--out", "maps"], "out", Path("maps")),
        (["--timeout", "2.5"], "timeout", 2.5),
        (["--object"], "object", 0.15),
        (["--object", "otsu"], "object", "otsu"),
        ([], "target", None),
    ],
)
def test_the_arguments_of_explain_mean_what_they_say(words, name, value):
    assert getattr(arguments("explain", "m", "cat.jpg", *words), name) == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["explain", "m"], "PICTURE"),
        (["explain", "m", "a.jpg", "--size", "large"], "224x224"),
        (["explain", "m", "a.jpg", "--mean", "red"], "numbers with commas"),
        (["explain", "m", "a.jpg", "--object", "2"], "a share between 0 and 1"),
        (["explain", "m", "a.jpg", "--set", "masks"], "NAME=VALUE"),
        (["paint", "m"], "paint"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(words, said, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert "--server HOST:PORT" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("models",), ("card", "demo"), ("explain", "demo", "cat.jpg"), ("upload", "m.onnx")])
def test_where_no_server_is_named_a_private_one_answers(words):
    args = arguments(*words)
    assert (args.server, args.unsaid) == (None, None)


def test_only_top_looks_for_a_server_that_runs():
    assert (arguments("top").server, arguments("top").unsaid) == (None, "localhost")


def test_an_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]):
    assert main(["models", "--server", "127.0.0.1:1"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("backlit: no server at 127.0.0.1:1")
    assert told.err.count("\n") == 1


def test_progress_without_a_terminal_is_a_few_lines(capsys: pytest.CaptureFixture[str]):
    with shown("uploading") as report:
        for done in range(101):
            report(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"uploading: {percent} %" for percent in (25, 50, 75, 100)]


def test_progress_at_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with shown("uploading") as report:
        report(1, 2)
    assert " %\n" not in capsys.readouterr().err


@pytest.fixture
def model(shared: Path) -> str:
    return str(shared / "models/efficientnet-lite0.onnx")


@pytest.fixture
def photo(shared: Path) -> str:
    return str(shared / "photos/dog_and_cat.png")


@pytest.mark.usefixtures("address")
def test_explain_writes_a_picture_and_tells_what_the_model_saw(model, photo, shared, tmp_path, capsys):
    labels = str(shared / "photos/imagenet_labels.txt")
    words = ["--method", "cam", "--method", "grad-cam", "--target", "243", "--target", "282", "--out", str(tmp_path)]
    assert main(["explain", model, photo, *PREPARED, "--labels", labels, *words]) == 0
    told = capsys.readouterr()
    names = Path(labels).read_text().split()
    assert [line.split()[:3] for line in told.out.splitlines()[1:5]] == [
        ["cam", "243", names[243]],
        ["cam", "282", names[282]],
        ["grad-cam", "243", names[243]],
        ["grad-cam", "282", names[282]],
    ]
    assert "CAUTION" not in told.err
    file = tmp_path / "dog_and_cat-cam-grad-cam.png"
    assert str(file) in told.out
    with Image.open(file) as drawn:
        assert np.asarray(drawn.convert("L")).std() > 10


@pytest.mark.usefixtures("address")
def test_assumed_preprocessing_is_said_loudly_with_the_way_out(shared, photo, tmp_path, capsys):
    assert main(["explain", str(shared / "models/squeezenet11-ndf.onnx"), photo, "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert "CAUTION" in told
    assert "--preset" in told


@pytest.mark.usefixtures("address")
def test_json_holds_the_maps_and_writes_no_pictures(model, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explain", model, photo, *PREPARED, "--target", "top2", "--size", "4x6", "--object", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [np.shape(row["heatmap"]) for row in rows] == [(4, 6), (4, 6)]
    assert rows[0]["score"] > rows[1]["score"]
    x_min, y_min, x_max, y_max = rows[0]["object"]
    assert 0 <= x_min < x_max <= 224
    assert 0 <= y_min < y_max <= 224
    assert rows[0]["provenance"]["preprocessing"]["preset"] == "efficientnet-lite"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("address")
def test_several_layers_become_one_map(model, photo, capsys):
    layers = ["/_blocks.10/Add_output_0", "/_swish_1/Clip_output_0"]
    words = ["--layer", layers[0], "--layer", layers[1], "--fuse", "product", "--smoothing", "eigen", "--json"]
    assert main(["explain", model, photo, *PREPARED, *words]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["method"], row["layers"]) == ("eigen-grad-cam", layers)
    assert np.shape(row["heatmap"]) == (14, 14)


@pytest.mark.usefixtures("address")
def test_a_model_is_uploaded_listed_shown_exported_and_deleted(shared, tmp_path, capsys):
    file = str(shared / "models/digits40-cnn-gap.onnx")
    assert main(["upload", file, "--name", "digits", "--mean", "127.5", "--std", "127.5", "--color", "grey"]) == 0
    told = capsys.readouterr()
    assert "layers" in told.out
    assert "uploading digits40-cnn-gap.onnx: 100 %" in told.err
    assert main(["models"]) == 0
    assert "digits" in capsys.readouterr().out
    assert main(["card", "digits"]) == 0
    assert "mean 127.5" in capsys.readouterr().out
    assert main(["methods", "digits"]) == 0
    assert "grad-cam" in capsys.readouterr().out
    assert main(["export", "digits", str(tmp_path / "out.onnx")]) == 0
    assert (tmp_path / "out.onnx").stat().st_size > 300_000
    assert main(["delete", "digits"]) == 0
    assert main(["card", "digits"]) == 1
    assert "digits" in capsys.readouterr().err


@pytest.mark.usefixtures("address")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain", "demo", "nowhere.jpg"], "nowhere.jpg"),
        (["explain", "nowhere.onnx", __file__], "nowhere.onnx"),
        (["explain", "demo", __file__, "--labels", __file__], "upload"),
        (["upload", "nowhere.onnx"], "nowhere.onnx"),
        (["upload", __file__], "backlit:"),
        (["card", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words, said, capsys):
    assert main(words) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("backlit: ")
    assert said in line


def test_pictures_of_one_name_do_not_overwrite_each_other():
    files = overlay_files([Path("a/cat.jpg"), Path("b/cat.jpg"), Path("dog.jpg")], ["cam"], Path("out"))
    assert [str(file) for file in files.values()] == ["out/cat-cam.png", "out/cat-2-cam.png", "out/dog-cam.png"]


def test_labels_are_lines_or_a_json_list(tmp_path: Path):
    (tmp_path / "lines").write_text("cat\nfish, gold\n")
    (tmp_path / "list").write_text('["cat", "fish, gold"]')
    assert read_labels(tmp_path / "lines") == read_labels(tmp_path / "list") == ["cat", "fish, gold"]


@pytest.mark.usefixtures("address")
def test_every_class_is_told_and_not_drawn(
    shared: Path, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = str(shared / "models" / "digits40-cnn-gap.onnx")
    assert main(["explain", file, photo, "--target", "all", "--out", str(tmp_path)]) == 1
    assert "too many" in capsys.readouterr().err
    assert main(["explain", file, photo, "--target", "all", "--method", "cam", "--method", "layer-cam", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["method"], row["target"]) for row in rows] == [(m, c) for m in ("cam", "layer-cam") for c in range(10)]


@pytest.mark.usefixtures("address")
def test_card_and_methods_take_a_file_as_explain_does(shared: Path, capsys: pytest.CaptureFixture[str]):
    file = str(shared / "models" / "mnist-dianna.onnx")
    assert main(["card", file]) == 0
    assert "LogSoftmax" in capsys.readouterr().out
    assert main(["methods", file]) == 0
    assert "no: cam needs global average pooling" in capsys.readouterr().out
