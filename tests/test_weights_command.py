"""`backlit weights`, and weights through the client, from a real server."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

import backlit
from backlit import filters
from backlit.cli import main
from backlit.specs import TensorSpec
from backlit.weights import WeightedLayer, Weights
from backlit_proto.errors import BadQuestion, UnknownModel

rng = np.random.default_rng(5)


@pytest.fixture
def file(address: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKLIT_SERVER", address)
    return shared / "models" / "squeezenet11-ndf.onnx"


def given(file: Path) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(file).graph.initializer}


async def test_both_clients_read_the_initializers_of_the_file(address: str, file: Path):
    with backlit.connect(address) as server:
        model = server.upload(file)
        names = [one.tensor.name for one in model.weighted_layers()]
        assert names == [name for name in given(file) if name.endswith("weight")]
        first, last = model.weights("conv1"), model.weights(names[-1])
        with pytest.raises(BadQuestion, match="nearest are 'conv1'"):
            model.weights("pool1")
    async with backlit.aio.connect(address) as server:
        again = await server.model(model.digest)
        assert [one.tensor.name for one in await again.weighted_layers()] == names
        assert np.array_equal((await again.weights("conv1")).values, first.values)
        await again.delete()
        with pytest.raises(UnknownModel):
            await again.weights("conv1")
    for found in (first, last):
        assert np.array_equal(found.values, given(file)[found.layer.tensor.name])
    assert str(first.layer) == "conv1.weight  Conv [64, 3, 3, 3] OIHW"


def test_the_command_lists_draws_and_writes(file: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["weights", str(file)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["conv1", "Conv", "64x3x3x3", "OIHW", "conv1.weight"]
    assert len(rows) == 27
    assert main(["weights", str(file), "fire2/expand3x3", "--scale-each", "--outputs", "0,3"]) == 0
    assert "-> fire2_expand3x3-weights.png" in capsys.readouterr().out
    with Image.open("fire2_expand3x3-weights.png") as drawn:
        assert np.asarray(drawn.convert("L")).std() > 10
    assert main(["weights", str(file), "conv1", "--out", "deep/conv1.npy"]) == 0
    assert np.array_equal(np.load("deep/conv1.npy"), given(file)["conv1.weight"])


@pytest.mark.parametrize(
    ("words", "said"), [(["pool1"], "nearest are 'conv1'"), (["conv1", "--outputs", "64"], "0 to 63")]
)
def test_what_cannot_be_drawn_is_said_in_one_line(file: Path, tmp_path: Path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["weights", str(file), *words]) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def weights(axes: str, *shape: int) -> Weights:
    spec = TensorSpec("w", "float32", shape)
    return Weights(WeightedLayer(spec, "node", "Conv", axes), rng.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(
    ("axes", "shape", "turned"),
    [
        ("OIHW", (5, 4, 2, 3), (0, 1, 2, 3)),
        ("IOHW", (5, 4, 2, 3), (1, 0, 2, 3)),
        ("OI", (5, 4), (0, 1)),
        ("IO", (5, 4), (1, 0)),
        ("OIW", (5, 4, 3), (0, 1, 2)),
        ("OIDHW", (5, 4, 2, 3, 6), (0, 1, 2, 3, 4)),
    ],
)
def test_kernels_have_outputs_first_and_two_axes_of_places(axes: str, shape, turned):
    given = weights(axes, *shape)
    found, expected = filters.kernels(given), given.values.transpose(turned)
    assert found.ndim == 4
    assert found.shape[:2] == expected.shape[:2]
    assert np.array_equal(found.ravel(), expected.ravel())


def drawn_pixels(figure) -> np.ndarray:
    """What the mosaic shows, (height, width, 3)."""
    return np.asarray(figure.axes[0].images[0].get_array())


def test_a_kernel_is_one_row_an_output_and_one_column_an_input():
    given = weights("OIHW", 2, 5, 3, 3)
    figure = filters.drawn(given, outputs=[1], inputs=[4, 0])
    assert drawn_pixels(figure).shape == (5, 9, 3)
    most = np.abs(given.values[1, [4, 0]]).max()
    place = np.unravel_index(np.abs(given.values[1, 0]).argmax(), (3, 3))
    red, _, blue = drawn_pixels(figure)[1 + place[0], 5 + place[1]]
    assert (red > blue) == (given.values[1, 0][place] > 0)
    assert np.allclose(figure.axes[1].get_ylim(), (-most, most))
    assert "1 of 2 outputs, 2 of 5 inputs" in figure.texts[0].get_text()


def test_filters_over_three_colors_are_pictures_with_grey_for_zero():
    given = weights("OIHW", 1, 3, 2, 2)
    given.values[:] = 0
    given.values[0, 0, 0, 0], given.values[0, 2, 1, 1] = 4, -2
    rgb, bgr = (drawn_pixels(filters.drawn(given, bgr=turned)) for turned in (False, True))
    assert np.allclose(rgb, [[[1, 0.5, 0.5], [0.5] * 3], [[0.5] * 3, [0.5, 0.5, 0.25]]])
    assert np.allclose(bgr, rgb[:, :, ::-1])


def test_a_dense_layer_is_one_picture_and_what_is_too_much_is_left_out_and_told():
    figure = filters.drawn(weights("IO", 7, 2100))
    assert drawn_pixels(figure).shape == (2048, 7, 3)
    assert figure.texts[0].get_text().endswith("2048 of 2100 outputs")


def test_relative_weights_show_the_faint_outputs_too():
    given = weights("IOHW", 2, 3, 2, 2)
    given.values[:, 1] *= 1e-3
    given.values[:, 2] = 0
    found = given.relative()
    assert np.allclose(np.abs(found.values).max((0, 2, 3)), [1, 1, 0])
    assert np.allclose(found.values[:, 0] * np.abs(given.values[:, 0]).max(), given.values[:, 0])
    assert "relative" in filters.drawn(found).texts[0].get_text()


def test_many_matrices_are_refused_with_the_way_out():
    with pytest.raises(BadQuestion, match=r"sheets\.maps"):
        filters.drawn(weights("BIO", 2, 3, 4))
