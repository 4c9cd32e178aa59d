"""Several layers made one map, and smoothed maps, by the bare engine on real models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from skimage.transform import resize

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_proto.tensors import tensors_in, to_array, to_tensor
from backlit_server.engine.engine import Engine
from bare import ask, stored

SHALLOW, DEEP = "/1/1.2/Relu_output_0", "/4/4.2/Relu_output_0"
TARGETS = (3, 7)
Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]


@pytest.fixture(scope="module")
def digits(shared: Path, engine: Engine) -> str:
    return stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")


def picture(count: int = 2, *shape: int) -> np.ndarray:
    return np.random.default_rng(8).random((count, *(shape or (1, 40, 40)))).astype(np.float32)


def answers(engine: Engine, model: str, x: np.ndarray, targets: Sequence[int] = TARGETS, **question) -> list[Answer]:
    asked = pb.Question(model=model, targets=[pb.Target(class_index=k) for k in targets], **question)
    request = pb.ExplainRequest(question=asked, inputs={"": to_tensor(x)})
    found = engine.explain(request, [to_array(tensor) for tensor in tensors_in(request)])
    return [answer for answer in found if isinstance(answer, tuple) and answer[0].progress == 1]


def heatmaps(found: list[Answer]) -> np.ndarray:
    return np.concatenate([np.stack(maps) for _, maps in found])


def alone(engine: Engine, model: str, x: np.ndarray, method: str, layer: str = "", **parameters) -> np.ndarray:
    return np.stack([maps for _, maps in ask(engine, model, x, method, TARGETS, layer, **parameters)])


def finished(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """relu, min-max, then scikit-image's bilinear enlargement."""
    positive = np.maximum(maps, 0)
    low, high = positive.min((1, 2), keepdims=True), positive.max((1, 2), keepdims=True)
    scaled = (positive - low) / np.where(high > low, high - low, 1)
    return np.stack([np.asarray(resize(one, size, order=1, mode="edge", anti_aliasing=False)) for one in scaled])


FUSED = {
    pb.Question.FUSION_UNSPECIFIED: lambda a, b: (a + b) / 2,
    pb.Question.FUSION_MAX: np.maximum,
    pb.Question.FUSION_PRODUCT: np.multiply,
    pb.Question.FUSION_TANH_MAX: lambda a, b: np.maximum(np.tanh(2 * a), np.tanh(2 * b)),
}


@pytest.mark.parametrize(
    ("method", "fusion"),
    [*(("layer-cam", fusion) for fusion in FUSED), ("ablation-cam", 0), ("eigen-cam", 0), ("recipro-cam", 0)],
)
def test_layers_are_fused(engine: Engine, digits: str, method: str, fusion: pb.Question.Fusion):
    x = picture()
    found = answers(engine, digits, x, method=method, layers=[SHALLOW, DEEP], fusion=fusion)
    shallow, deep = (alone(engine, digits, x, method, layer) for layer in (SHALLOW, DEEP))
    size = shallow.shape[1:]
    assert np.allclose(heatmaps(found), FUSED[fusion](finished(shallow, size), finished(deep, size)), atol=1e-4)


def test_a_profile_fuses_as_its_library_does(engine: Engine, digits: str):
    x, layers, usual = picture(), [SHALLOW, DEEP], pb.Rendering(size="SIZE_LAYER", relu=False, normalize=False)
    told = {"layers": layers, "profile": "torchcam", "rendering": usual}
    found = heatmaps(answers(engine, digits, x, method="layer-cam", **told))
    expected = heatmaps(answers(engine, digits, x, method="layer-cam", layers=layers, fusion=pb.Question.FUSION_MAX))
    assert np.allclose(found, expected, atol=1e-5)


def test_fused_layers_share_a_forward_pass_and_are_told(engine: Engine, digits: str):
    ((response, _),) = answers(engine, digits, picture(1), layers=[DEEP, SHALLOW])
    told = response.explanations[0]
    assert (told.layer, list(told.layers)) == (SHALLOW, [DEEP, SHALLOW])
    assert (response.provenance.forward_passes, response.provenance.head_passes) == (1, 4)
    assert list(response.provenance.steps) == [
        "relu",
        "normalize min-max",
        "resize 20x20 bilinear, half-pixel centres",
        "fuse mean",
    ]


@pytest.mark.parametrize("method", ["grad-cam", "ablation-cam", "saliency", "eigen-cam"])
def test_augmentation_smoothing_is_the_mean_over_versions_turned_back(engine: Engine, digits: str, method: str):
    x = picture()
    smoothing = [pb.Question.SMOOTHING_AUGMENTATION]
    found = answers(engine, digits, x, method=method, smoothing=smoothing)
    by_hand = [
        alone(engine, digits, (x[..., ::-1] if flipped else x) * np.float32(factor), method)[
            ..., :: -1 if flipped else 1
        ]
        for flipped in (False, True)
        for factor in (0.9, 1, 1.1)
    ]
    expected = np.mean(by_hand, 0)
    assert np.allclose(heatmaps(found), expected, atol=1e-4 * abs(expected).max())


def test_the_top_class_of_all_versions_is_that_of_the_image_itself(engine: Engine, digits: str):
    x = picture(1)
    smoothing = [pb.Question.SMOOTHING_AUGMENTATION]
    ((response, (found,)),) = answers(engine, digits, x, (), smoothing=smoothing)
    target = response.explanations[0].target.class_index
    ((_, (expected,)),) = answers(engine, digits, x, (target,), smoothing=smoothing)
    assert np.allclose(found, expected)
    assert (response.provenance.forward_passes, response.provenance.head_passes) == (6, 6)


def test_channels_last_are_flipped_along_their_columns(engine: Engine, shared: Path):
    model = stored(engine.store, shared / "models" / "vww96-mnv1-nhwc.onnx")
    x = picture(1, 96, 96, 3)
    smoothing = [pb.Question.SMOOTHING_AUGMENTATION]
    both = [heatmaps(answers(engine, model, a, (1,), smoothing=smoothing)) for a in (x, x[:, :, ::-1].copy())]
    assert np.allclose(both[0], both[1][..., ::-1], atol=1e-4 * abs(both[0]).max())


def test_layers_of_augmented_images_are_fused(engine: Engine, digits: str):
    x, smoothing = picture(1), [pb.Question.SMOOTHING_AUGMENTATION]
    ((response, found),) = answers(engine, digits, x, layers=[SHALLOW, DEEP], smoothing=smoothing)
    each = [answers(engine, digits, x, layer=layer, smoothing=smoothing) for layer in (SHALLOW, DEEP)]
    shallow, deep = (finished(heatmaps(one), found[0].shape) for one in each)
    assert np.allclose(np.stack(found), (shallow + deep) / 2, atol=1e-4)
    assert (response.provenance.forward_passes, response.provenance.head_passes) == (6, 24)


def test_eigen_smoothing_is_eigen_grad_cam_with_the_methods_weights(engine: Engine, digits: str):
    x = picture()
    found = answers(engine, digits, x, method="layer-cam", smoothing=[pb.Question.SMOOTHING_EIGEN])
    expected = alone(engine, digits, x, "eigen-grad-cam", weights="layer-cam")
    assert np.allclose(heatmaps(found), expected)
    assert {e.method for response, _ in found for e in response.explanations} == {"eigen-grad-cam"}


def test_a_time_limit_is_shared_by_the_layers(engine: Engine, digits: str):
    question = {"method": "score-cam", "layers": [SHALLOW, DEEP], "time_limit": 1e-6}
    ((response, _),) = answers(engine, digits, picture(1), (), **question)
    assert response.explanations[0].status == pb.HEATMAP_STATUS_PARTIAL
    assert response.provenance.forward_passes == 1 + 2 * 16


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"layer": DEEP, "layers": [DEEP, SHALLOW]}, "either one layer or several"),
        ({"layers": [DEEP, "no-such"]}, "no tensor or node 'no-such'"),
        ({"layers": [DEEP, SHALLOW], "method": "saliency"}, "leave out layers"),
        ({"layers": [DEEP, SHALLOW], "method": "score"}, "leave out layers"),
        ({"layers": [DEEP, SHALLOW], "method": "feature-maps"}, "ask for a layer at a time"),
        ({"smoothing": [9]}, "there are eigen and augmentation"),
        ({"fusion": 77}, "there are mean, max, product, tanh-max"),
        ({"smoothing": [pb.Question.SMOOTHING_EIGEN], "method": "score-cam"}, "eigen smoothing is for .* grad-cam"),
    ],
    ids=str,
)
def test_what_cannot_be_combined_is_refused(engine: Engine, digits: str, question: dict, says: str):
    with pytest.raises(BadQuestion, match=says):
        answers(engine, digits, picture(1), **question)


def test_scores_that_belong_to_places_cannot_be_flipped(engine: Engine, shared: Path):
    model = stored(engine.store, shared / "models" / "ultraface-rfb320.onnx")
    x = picture(1, 3, 240, 320)
    with pytest.raises(NotExplainable, match="flips the image"):
        answers(engine, model, x, (1,), smoothing=[pb.Question.SMOOTHING_AUGMENTATION])
