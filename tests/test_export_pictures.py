"""An export that takes pictures: one file from uint8 pixels to heatmaps."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skimage.data
from onnx import helper

import backlit
import plain
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.files import read
from backlit_server.engine.opening import open_model
from backlit_server.engine.recipes import recipe
from backlit_server.engine.runtime import Runtime
from backlit_server.graph import ImageInput, with_pixels
from backlit_server.methods import bind
from preparing import THREADS, prepare
from real_server import real_server

CHELSEA = skimage.data.chelsea()
MODELS: dict[str, dict[str, Any]] = {
    "efficientnet-lite0": {"preset": "efficientnet-lite"},
    "opennsfw-nhwc-tf2onnx": {"preset": "caffe-rounded", "fit": "FIT_STRETCH"},
    "digits40-vit-tiny": {"preset": "unit", "fit": "FIT_PAD"},
}


@pytest.mark.parametrize("name", MODELS)
def test_the_file_gives_for_a_picture_what_it_gives_for_its_input(name, shared):
    file = read(shared / "models" / f"{name}.onnx")
    model = open_model(file.model, Runtime("cpu", THREADS), file.folder)
    declared = pb.Preprocessing(**MODELS[name])
    assert model.image is not None
    (image,) = model.anatomy.inputs
    explained = model.explained("grad-cam", "", bind("grad-cam", {}))
    taking = model.taking_pictures(explained, declared)
    onnx.checker.check_model(taking)
    seed = np.ones((1, *model.anatomy.scores.shape[1:]), np.float32)
    found = []
    for graph, feeds in (
        (explained, {image.name: prepare([CHELSEA], declared, model.image)}),
        (taking, {"pixels": CHELSEA[None]}),
    ):
        found.append(plain.values(graph, ["heatmap"], {**feeds, "seed": seed})[0])
    np.testing.assert_allclose(found[1], found[0], atol=1e-5 * abs(found[0]).max())


def test_a_tensor_of_the_models_own_is_not_run_over():
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    made = helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["pixels"])], "g", [image], [made]))
    expected = ImageInput(np.dtype(np.float32), "NCHW", 3, 8, 8)
    with pytest.raises(BadQuestion, match="'pixels' of its own"):
        with_pixels(model, "x", recipe(pb.Preprocessing(preset="unit"), expected), expected)


def test_a_model_that_takes_no_image_takes_no_pictures(shared):
    file = read(shared / "models/silero-vad.onnx")
    model = open_model(file.model, Runtime("cpu", THREADS), file.folder)
    with pytest.raises(NotExplainable, match="not one image"):
        model.taking_pictures(model.graph, pb.Preprocessing(preset="unit"))


def test_an_export_prepares_pictures_as_declared_or_as_told_and_never_by_a_guess(shared: Path, tmp_path: Path):
    file, out = shared / "models/digits40-cnn-gap.onnx", tmp_path / "out.onnx"
    with real_server(tmp_path) as address, backlit.connect(address) as server:
        model = server.upload(file)
        with pytest.raises(backlit.BadQuestion, match="nobody has said how pictures are prepared"):
            model.export(out, pictures=True)
        told = model.export(pictures={"preset": "inception"})
        model = model.update(preprocessing="inception")
        assert model.export(pictures=True) == told
        model.export(out, pictures=True)
        (e,) = model.explain(CHELSEA, target=7)
    seed = np.eye(10, dtype=np.float32)[[7]]
    ours = plain.values(out, ["heatmap"], {"pixels": CHELSEA[None], "seed": seed})[0]
    np.testing.assert_allclose(ours[0], e.heatmap, atol=1e-6)
