"""`backlit embed`: a folder of pictures as places on a page, through a real server."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.offsetbox import AnnotationBbox
from PIL import Image

import backlit
from backlit import thumbnails
from backlit.cli import main
from backlit_proto.errors import BadQuestion

MISSING = "PROJECTION EXTRA MISSING: no scikit-learn; pip install -e .[projection]"
rng = np.random.default_rng(17)


def blobs() -> np.ndarray:
    """Three groups of twelve vectors each, far from one another."""
    return np.concatenate([10 * rng.normal(size=20) + rng.normal(size=(12, 20)) for _ in range(3)])


def apart(places: np.ndarray) -> bool:
    """Whether each place is nearer to the middle of its own group than to any other's."""
    middles = places.reshape(3, 12, 2).mean(1)
    nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(1)
    return np.array_equal(nearest, np.repeat([0, 1, 2], 12))


def test_pca_is_the_projection_on_the_first_two_singular_vectors():
    pytest.importorskip("sklearn", reason=MISSING)
    from backlit.projection import project

    vectors = blobs()
    centred = vectors - vectors.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    found = project(vectors)
    for column, direction in zip(found.places.T, directions[:2], strict=True):
        expected = centred @ direction
        assert min(np.abs(column - expected).max(), np.abs(column + expected).max()) < 1e-9
    share = values[0] ** 2 / (values**2).sum()
    assert found.axes[0] == f"first component, {share:.1%} of the variance"


@pytest.mark.parametrize(("method", "package"), [("tsne", "sklearn"), ("umap", "umap")])
@pytest.mark.filterwarnings("ignore::ImportWarning")  # umap-learn tells that it has no Tensorflow
@pytest.mark.filterwarnings("ignore:n_jobs value")
def test_groups_stay_apart_and_the_same_seed_gives_the_same_places(method: str, package: str):
    pytest.importorskip("sklearn", reason=MISSING)
    pytest.importorskip(package, reason=f"NOT CHECKED: no {package}")
    from backlit.projection import project

    vectors = blobs()
    first = project(vectors, method, seed=3)
    assert apart(first.places)
    assert np.array_equal(first.places, project(vectors, method, seed=3).places)


@pytest.mark.parametrize(
    ("vectors", "method", "says"),
    [
        (np.zeros((2, 5)), "pca", "at least 3 vectors"),
        (np.zeros(5), "pca", "at least 3 vectors"),
        (np.full((3, 5), np.nan), "tsne", "infinity or NaN"),
        (np.zeros((3, 5)), "mds", "'pca', 'tsne', 'umap'"),
    ],
)
def test_what_cannot_be_projected_is_refused(vectors, method, says):
    pytest.importorskip("sklearn", reason=MISSING)
    from backlit.projection import project

    with pytest.raises(BadQuestion, match=says):
        project(vectors, method)


def test_without_the_extra_the_way_out_is_told():
    program = "import sys; sys.modules['sklearn'] = None\nimport backlit.projection"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'backlit[projection]'" in outcome.stderr


def test_thumbnails_stand_at_their_places_in_the_frames_of_their_groups():
    pictures = [np.full((20, 40, 3), shade, np.uint8) for shade in (0, 100, 200)]
    places = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    figure = thumbnails.scattered(pictures, places, groups=["cat", "dog", "cat"], title="three")
    (axis,) = figure.axes
    boxes = [artist for artist in axis.artists if isinstance(artist, AnnotationBbox)]
    assert np.array_equal([box.xy for box in boxes], places)
    edges = [box.patch.get_edgecolor() for box in boxes]
    assert edges[0] == edges[2] != edges[1]
    legend = axis.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["cat", "dog"]


@pytest.mark.parametrize(("count", "longest"), [(1, 96), (100, 60), (100_000, 20)])
def test_more_pictures_are_smaller(count: int, longest: int):
    assert thumbnails.side(count) == longest
    assert thumbnails.thumbnail(np.zeros((200, 400, 3), np.uint8), longest).shape[1] == longest


@pytest.fixture
def words(address: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command for two folders of four pictures each."""
    pytest.importorskip("sklearn", reason=MISSING)
    monkeypatch.setenv("BACKLIT_SERVER", address)
    monkeypatch.chdir(tmp_path)
    for folder, start in (("animals", 0), ("things", 60)):
        Path(folder).mkdir()
        for photo in sorted((shared / "photos" / "imagenet").iterdir())[start : start + 4]:
            shutil.copy(photo, folder)
    model = shared / "models" / "efficientnet-lite0.onnx"
    return ["embed", str(model), "animals", "things", "--preset", "efficientnet-lite"]


def test_pictures_are_drawn_and_written_and_unreadable_ones_told_left_out_and_counted(words, capsys):
    Path("things/broken.jpg").write_bytes(b"no picture")
    Path("things/notes.txt").write_text("no picture either, and not named like one")
    outs = ["--out", "out/e.png", "--out", "e.csv", "--out", "e.npz"]
    assert main([*words[:4], "nowhere.png", *words[4:], *outs]) == 0
    told = capsys.readouterr()
    assert "8 pictures, 2 left out; 1280 numbers each, at /Reshape_output_0" in told.out
    assert "left out things/broken.jpg: " in told.err
    assert "left out nowhere.png: " in told.err
    assert "embedding: 100 %" in told.err
    with Image.open("out/e.png") as drawn:
        assert np.asarray(drawn.convert("L")).std() > 20
    with np.load("e.npz") as kept, open("e.csv", newline="") as file:
        rows = list(csv.DictReader(file))
        assert [row["picture"] for row in rows] == kept["pictures"].tolist()
        assert np.allclose([[float(row["x"]), float(row["y"])] for row in rows], kept["places"])
        assert (kept["vectors"].shape, len(rows)) == ((8, 1280), 8)


def test_the_vectors_are_the_embeddings_of_the_pictures(words, address):
    assert main([*words, "--out", "e.npz", "--layer", "/_conv_stem/Conv_output_0"]) == 0
    with np.load("e.npz") as kept, backlit.connect(address) as server:
        model = server.upload(words[1])
        for picture, vector in zip(kept["pictures"], kept["vectors"], strict=True):
            (maps,) = model.explain(str(picture), "feature-maps", layer="/_conv_stem/Conv_output_0")
            assert np.allclose(vector, maps.heatmap.mean((1, 2)), atol=1e-4)


@pytest.mark.parametrize(
    ("more", "said"),
    [(["--layer", "nowhere"], "no tensor or node 'nowhere'"), (["--project", "umap"], "pip install umap-learn")],
)
def test_what_holds_for_all_pictures_is_said_once(words, more, said, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert main([*words, *more]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("backlit: ")
    assert said in line
    assert not Path("embedding.png").exists()


def test_too_few_pictures_are_refused(words, capsys):
    assert main([*words[:2], "animals/000_tench.JPEG", "animals/000_tench.JPEG"]) == 1
    assert "at least 3 vectors" in capsys.readouterr().err
    Path("empty").mkdir()
    assert main([*words[:2], "empty"]) == 1
    assert "no pictures in these folders" in capsys.readouterr().err
