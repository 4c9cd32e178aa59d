"""Every model at hand, through the server: it works, or it is refused with the reason, and nothing else suffers."""

from pathlib import Path

import numpy as np
import pytest

import backlit
from real_server import real_server

# What cannot be explained, and what the server says of it.
REFUSED = {"superres-onnxtutorial": (backlit.BadModel, "does not say its opset")}
WITHOUT_LAYER = {
    "silero-vad": "no input is an image",
}
NAMES = (
    "age-resnet10-dlib", "catsordogs-nhwc", "digits40-cnn-gap", "digits40-vit-tiny", "edgenext_xx_small",
    "efficientnet-lite0", "efficientnet-lite0-qdq-int8", "gender-dlib", "mnist-cntk", "mnist-dianna", "mnist-optimized",
    "mobilevit_xxs", "opennsfw-nhwc-tf2onnx", "pplcnet-orientation", "ppocr-textcls-mobilenetv3", "shufflenet_v2_x0_5",
    "silero-vad", "squeezenet11-ndf", "squeezenet11-qdq-int8", "squeezenet11-qoperator", "superres-onnxtutorial",
    "ultraface-rfb320", "vit_tiny_patch16_224", "vww96-mnv1-nhwc",
)  # fmt: skip
# Rows of the inputs whose sizes the file leaves open.
FREE_SIZES = {
    "ppocr-textcls-mobilenetv3": {"x": (3, 48, 192)},
    "silero-vad": {"input": (512,)},
}
# Of methods that repeat themselves a few passes do here.
FEW = {"masks": 20, "samples": 20, "segments": 8, "steps": 4}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with real_server(tmp_path_factory.mktemp("store")) as address, backlit.connect(address) as connected:
        yield connected


def test_no_model_at_hand_is_missing_here(shared: Path):
    assert sorted(NAMES) == sorted(file.stem for file in (shared / "models").glob("*.onnx"))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_explained_or_refused_with_the_reason(server, shared: Path, name: str):
    file = shared / "models" / f"{name}.onnx"
    if name in REFUSED:
        error, says = REFUSED[name]
        with pytest.raises(error, match=says):
            server.upload(file)
        return
    model = server.upload(file)
    inputs = made_up(model, FREE_SIZES.get(name, {}))
    scored = model.explain(inputs, method="score")
    assert np.isfinite(scored[0].heatmap).all()
    if name in WITHOUT_LAYER:
        with pytest.raises(backlit.NotExplainable, match=WITHOUT_LAYER[name]):
            model.explain(inputs)
        return
    takes = {m.name: {p.name: p.default for p in m.parameters} for m in server.methods()}
    for method in [m.method for m in model.card.methods if m.available]:
        few = {name: count for name, count in FEW.items() if takes[method].get(name, 0) > count}
        (answer,) = model.explain(inputs, method=method, **few)
        assert np.isfinite(answer.heatmap).all(), method
        assert answer.status in ("OK", "ALL_NONPOSITIVE"), method


def made_up(model: backlit.Model, free: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {i.tensor.name: array(i.tensor, free.get(i.tensor.name), random) for i in model.card.inputs}


def array(tensor, row: tuple[int, ...] | None, random: np.random.Generator) -> np.ndarray:
    shape = (1, *row) if row else tuple(max(n, 1) for n in tensor.shape)
    return random.random(shape).astype(tensor.dtype) if "float" in tensor.dtype else np.full(shape, 16000, tensor.dtype)
