"""Files as they come: read, described and explained alike, however they are written."""

import numpy as np
import pytest

from backlit_server.admission.card import card_of
from backlit_server.admission.trial import try_out
from backlit_server.engine.engine import Engine
from backlit_server.engine.files import read
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Runtime
from bare import ask, stored
from odd_files import FILES, Odd, grad_cam


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime("cpu", 2)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    return Engine(tmp_path_factory.mktemp("store"), "cpu", 2)


def image_of(odd: Odd) -> np.ndarray:
    """The image that the features are made of, channels first."""
    x = sum(array for array in odd.inputs.values() if array.ndim == 4)
    return np.asarray(x) if np.shape(x)[1] == 3 else np.asarray(x).transpose(0, 3, 1, 2)


def seeds(odd: Odd, target: int) -> list:
    return [np.eye(5, dtype=np.float32)[target].reshape(odd.seed)] if odd.seed else [target]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_explained_however_it_is_written(engine, runtime, tmp_path, name):
    odd = FILES[name]
    (tmp_path / "net.onnx").write_bytes(odd.file.SerializeToString())
    file = read(tmp_path / "net.onnx")
    opened = open_model(file.model, runtime)
    card = card_of(file.model, opened, try_out(file, opened, runtime))
    assert card.default_layer == odd.layer
    assert "grad-cam" in [m.method for m in card.methods if m.available]
    digest = stored(engine.store, tmp_path / "net.onnx")
    for target in (0, 3):
        ((_, heatmap),) = ask(engine, digest, odd.inputs, "grad-cam", seeds(odd, target))
        (expected,) = grad_cam(image_of(odd), target)
        if heatmap.shape != expected.shape:  # an upsampled one, by nearest
            expected = expected.repeat(2, 0).repeat(2, 1) / 4
        assert np.allclose(heatmap, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
