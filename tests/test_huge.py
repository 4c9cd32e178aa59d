"""A model of more than 2 GiB, which no protobuf message holds: uploaded, explained and exported."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import backlit
import plain
from outside import WEIGHTS, told, whole
from real_server import real_server

ROWS, WIDTH = 1_200_000, 512  # of a table of floats: 2.3 GiB
TEXT = """(float[N, 3, 16, 16] x, int64[N] row) => (float[N, 5] y) {
    a = Conv<pads = [1, 1, 1, 1]>(x, w)
    f = Relu(a)
    p = GlobalAveragePool(f)
    v = Flatten(p)
    s = MatMul(v, d)
    looked = Gather(table, row)
    t = MatMul(looked, e)
    y = Add(s, t)
}"""
LAST = np.linspace(-1, 1, WIDTH, dtype=np.float32)  # the last row of the table; the others are zero


def huge(folder: Path) -> Path:
    """The files of the model; the table is a sparse file."""
    model = whole(TEXT, WEIGHTS | {"e": np.eye(WIDTH, 5, dtype=np.float32), "table": LAST})
    table = model.graph.initializer[-1]
    table.dims[:] = [ROWS, WIDTH]
    told(table, location="table.bin", offset=4096, length=4 * ROWS * WIDTH)
    with (folder / "table.bin").open("wb") as file:
        file.truncate(4096 + 4 * (ROWS - 1) * WIDTH)
        file.seek(0, 2)
        file.write(LAST.tobytes())
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


@pytest.mark.slow
def test_a_model_of_more_than_two_gigabytes_is_explained_and_exported(tmp_path):
    file = huge(tmp_path)
    x = np.random.default_rng(3).normal(size=(2, 3, 16, 16)).astype(np.float32)
    inputs = {"x": x, "row": np.array([0, ROWS - 1])}
    (tmp_path / "store").mkdir()
    with real_server(tmp_path / "store", "--max-upload-mb", "3000") as address, backlit.connect(address) as server:
        model = server.upload(file)
        assert model.size > 2**31
        answers = model.explain(inputs, target=[0, 4])
        features = model.explain(inputs, "feature-maps", layer="f")
        out = model.export(tmp_path / "out.onnx")
        with pytest.raises(backlit.BadQuestion, match="export it to a path"):
            model.export()
    for k, answer in enumerate(answers):
        image, target = divmod(k, 2)
        expected = np.einsum("k,khw->hw", WEIGHTS["d"][:, 4 * target] / 256, features[image].heatmap)
        assert np.allclose(answer.heatmap, expected, atol=1e-6)
        pooled = features[image].heatmap.mean((1, 2)) @ WEIGHTS["d"][:, 4 * target]
        assert np.isclose(answer.score, pooled + (LAST[4 * target] if image else 0), atol=1e-4)
    seed = np.eye(5, dtype=np.float32)[[4, 4]]
    scores, heatmaps = plain.values(Path(out), ["y", "heatmap"], inputs | {"seed": seed})
    assert np.allclose(heatmaps, [answers[1].heatmap, answers[3].heatmap], atol=1e-6)
    assert np.allclose(scores[:, 4], [answers[1].score, answers[3].score], atol=1e-4)
