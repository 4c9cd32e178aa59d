"""Every model at hand, through the server: it works, or it is refused with the reason, and nothing else suffers."""

from pathlib import Path

import numpy as np
import pytest

import backlit
from few_passes import few

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
# Methods of one run for which the whole network is differentiated anew: each is opened with saliency's, or tested by
# itself.
WHOLE = {
    "gradient-x-input", "neuron-gradient", "guided-backprop", "deconvnet", "full-grad", "lrp", "deep-lift", "le-grad",
}  # fmt: skip


def test_no_model_at_hand_is_missing_here(shared: Path):
    assert sorted(NAMES) == sorted(file.stem for file in (shared / "models").glob("*.onnx"))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_explained_or_refused_with_the_reason(server, shared: Path, name: str):
    """Methods of one run at a layer; those of many, and those whose gradients go through the network, are below."""
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
    for method in available(server, model):
        if not method.many_passes and method.name not in WHOLE:
            answered(model.explain(inputs, method=method.name), method.name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*NAMES} - {*REFUSED} - {*WITHOUT_LAYER}))
def test_every_method_answers_what_its_card_promises(server, shared: Path, name: str):
    model = server.upload(shared / "models" / f"{name}.onnx")
    inputs = made_up(model, FREE_SIZES.get(name, {}))
    for method in available(server, model):
        answered(model.explain(inputs, method=method.name, **few(method.parameters)), method.name)


def available(server: backlit.Server, model: backlit.Model) -> list[backlit.Method]:
    return [method for method in server.methods(model.digest) if method.available]


def answered(found: list[backlit.Explanation], method: str) -> None:
    (answer,) = found
    assert np.isfinite(answer.heatmap).all(), method
    assert answer.status in ("OK", "ALL_NONPOSITIVE"), method


def made_up(model: backlit.Model, free: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {i.tensor.name: array(i.tensor, free.get(i.tensor.name), random) for i in model.card.inputs}


def array(tensor, row: tuple[int, ...] | None, random: np.random.Generator) -> np.ndarray:
    shape = (1, *row) if row else tuple(max(n, 1) for n in tensor.shape)
    return random.random(shape).astype(tensor.dtype) if "float" in tensor.dtype else np.full(shape, 16000, tensor.dtype)
