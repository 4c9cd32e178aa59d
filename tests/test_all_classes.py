"""Every class's map from one backbone run: closed forms by hand, and the same maps as asked class by class."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_array
from backlit_server.engine.answers import MOST_BYTES, Looked, Passes
from backlit_server.engine.engine import Engine
from backlit_server.engine.questions import read_question
from backlit_server.engine.stacks import stack_statuses, summary_of
from backlit_server.engine.verdicts import OK, judge
from backlit_server.graph import Recipe, class_maps, cut, examine
from backlit_server.methods import METHODS
from bare import ask, responses, stored
from real_models import small

ALL = pb.Target(all=True)
rng = np.random.default_rng(11)
CHANNELS, CLASSES, SIDE = 6, 4, 5
PLACES = SIDE * SIDE
W = rng.normal(size=(CLASSES, CHANNELS)).astype(np.float32)
BIAS = rng.normal(size=CLASSES).astype(np.float32)


def network(activation: str) -> onnx.ModelProto:
    """One convolution that changes nothing, an activation, global pooling and one linear layer."""
    return small(
        f"g (float[N,{CHANNELS},{SIDE},{SIDE}] x, float[{CHANNELS},{CHANNELS},1,1] k, float[{CLASSES},{CHANNELS}] w, "
        f"float[{CLASSES}] b) => (float[N,{CLASSES}] y) "
        f"{{ c = Conv(x, k) a = {activation}(c) m = GlobalAveragePool(a) f = Flatten(m) y = Gemm<transB=1>(f, w, b) }}",
        k=np.eye(CHANNELS, dtype=np.float32)[:, :, None, None],
        w=W,
        b=BIAS,
    )


def weighted(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    return np.einsum("ck,khw->chw", weights, features)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


CLOSED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cam": lambda a: weighted(W, a),
    "grad-cam": lambda a: weighted(W, a) / PLACES,
    "hires-cam": lambda a: weighted(W, a) / PLACES,
    "xgrad-cam": lambda a: weighted(W, a) / PLACES,
    "layer-cam": lambda a: weighted(relu(W), a) / PLACES,
    "grad-cam-elementwise": lambda a: relu(W[:, :, None, None] * a).sum(1) / PLACES,
    "grad-cam++": lambda a: weighted(relu(W) / (2 + relu(W) * a.mean((1, 2))), a),
}
"""Of features (channels, height, width), for scores W mean(features) + b."""


@pytest.mark.parametrize("activation", ["Relu", "Tanh"])
@pytest.mark.parametrize("method", CLOSED)
def test_one_product_makes_the_closed_form_of_every_class(method: str, activation: str):
    graph = network(activation)
    found = examine(graph)
    made, row = cut(graph, "a", "y", found.batched), METHODS[method]
    recipe = Recipe(row.formula, row.needs, row.outputs, found.view_of("a"), found.head.linear)
    maps = class_maps(made, recipe)
    assert maps is not None
    features = rng.normal(size=(1, CHANNELS, SIDE, SIDE)).astype(np.float32)
    features = relu(features) if activation == "Relu" else np.tanh(features)
    (heatmaps,) = plain.values(maps, ["heatmap"], {"a": features})
    np.testing.assert_allclose(heatmaps, CLOSED[method](features[0].astype(np.float64)), rtol=1e-4, atol=1e-6)
    assert "MatMul" not in {node.op_type for node in maps.graph.node}


def test_there_is_no_product_where_the_head_is_not_linear_or_the_formula_not_a_weighted_sum():
    graph = network("Relu")
    found = examine(graph)
    made, view = cut(graph, "a", "y", found.batched), found.view_of("a")
    mixing = Recipe(lambda features, grads: abs(features * grads).sum(1), ("features", "grads"), ("heatmap",), view)
    assert class_maps(made, mixing) is None
    linear = Recipe(mixing.formula, mixing.needs, mixing.outputs, view, found.head.linear)
    assert class_maps(made, linear) is None, "it would make a tensor of all classes, channels and places"
    asking = Recipe(
        lambda features, scores: features.sum(1), ("features", "scores"), ("heatmap",), view, found.head.linear
    )
    assert class_maps(made, asking) is None


def every(engine: Engine, digest: str, x: np.ndarray, method: str, **said) -> list[tuple[pb.Explanation, np.ndarray]]:
    return ask(engine, digest, x, method, [ALL], **said)


def one_by_one(
    engine: Engine, digest: str, x: np.ndarray, method: str, classes: list[int], **said
) -> list[tuple[pb.Explanation, np.ndarray]]:
    return [ask(engine, digest, x, method, [c], **said)[0] for c in classes]


REAL = {
    "one product": ("efficientnet-lite0", "grad-cam", (3, 224, 224), {}),
    "one product, with a weight an image": ("efficientnet-lite0", "grad-cam++", (3, 224, 224), {}),
    "the features' own layer": ("squeezenet11-ndf", "hires-cam", (3, 227, 227), {}),
    "seeds in chunks": ("squeezenet11-ndf", "grad-cam", (3, 227, 227), {"layer": "fire9/concat"}),
    "rounded weights": ("efficientnet-lite0-qdq-int8", "grad-cam", (3, 224, 224), {}),
    "probabilities": ("efficientnet-lite0", "grad-cam", (3, 224, 224), {"scale": "probability"}),
    "tokens": ("digits40-vit-tiny", "layer-cam", (1, 40, 40), {}),
    "the image": ("digits40-cnn-gap", "saliency", (1, 40, 40), {}),
    "many passes": ("digits40-cnn-gap", "integrated-gradients", (1, 40, 40), {}),
    "no batches": ("mnist-cntk", "grad-cam", (1, 28, 28), {}),
}


@pytest.mark.parametrize("name", REAL)
def test_all_classes_are_those_asked_one_by_one(shared: Path, engine: Engine, name: str):
    model, method, shape, said = REAL[name]
    digest = stored(engine.store, shared / "models" / f"{model}.onnx")
    x = rng.normal(size=(1, *shape)).astype(np.float32)
    answers = every(engine, digest, x, method, **said)
    heatmaps = np.concatenate([heatmap for _, heatmap in answers])
    told = [told.classes for told, _ in answers]
    scores, statuses = (
        np.concatenate([to_array(getattr(some, kind)) for some in told]) for kind in ("scores", "statuses")
    )
    assert [some.first for some in told] == np.cumsum([0, *(len(heatmap) for _, heatmap in answers[:-1])]).tolist()
    classes = [0, 1, len(heatmaps) // 2, len(heatmaps) - 1, int(np.argmax(scores))]
    for c, (single, heatmap) in zip(classes, one_by_one(engine, digest, x, method, classes, **said), strict=True):
        np.testing.assert_allclose(heatmaps[c], heatmap, rtol=1e-4, atol=1e-5 * np.abs(heatmap).max())
        assert scores[c] == pytest.approx(single.target.score, rel=1e-5)
        assert statuses[c] == single.status


def test_images_of_a_batch_have_a_stack_each(shared: Path, engine: Engine):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = rng.normal(size=(3, 1, 40, 40)).astype(np.float32)
    answers = every(engine, digest, x, "grad-cam")
    assert [(told.image, heatmaps.shape[0]) for told, heatmaps in answers] == [(0, 10), (1, 10), (2, 10)]
    for image in range(3):
        ((_, alone),) = every(engine, digest, x[[image]], "grad-cam")
        np.testing.assert_allclose(answers[image][1], alone, rtol=1e-4, atol=1e-6)
    assert answers[0][0].target.description == "all classes"


def test_of_one_score_behind_a_sigmoid_there_are_two_classes(shared: Path, engine: Engine):
    file = engine.store / "binary.onnx"
    onnx.save(
        small(
            "g (float[N,3,8,8] x, float[3,3,1,1] k, float[3,1] w) => (float[N,1] p) { c = Conv(x, k) r = Relu(c) "
            "m = GlobalAveragePool(r) f = Flatten(m) z = MatMul(f, w) p = Sigmoid(z) }",
            k=rng.normal(size=(3, 3, 1, 1)).astype(np.float32),
            w=np.array([[1], [-2], [3]], np.float32),
        ),
        file,
    )
    x = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    ((told, heatmaps),) = every(engine, stored(engine.store, file), x, "grad-cam")
    np.testing.assert_allclose(heatmaps[0], -heatmaps[1])
    assert to_array(told.classes.outputs).sum() == pytest.approx(1)


def test_large_maps_leave_in_parts(shared: Path, engine: Engine):
    digest = stored(engine.store, shared / "models" / "efficientnet-lite0.onnx")
    x = rng.normal(size=(1, 3, 224, 224)).astype(np.float32)
    rendering = pb.Rendering(size=pb.Rendering.SIZE_INPUT, relu=True)
    found = responses(engine, digest, x, "grad-cam", [ALL], rendering=rendering)
    first = 0
    for response, (heatmaps,) in found:
        assert heatmaps.nbytes <= MOST_BYTES
        assert (response.explanations[0].classes.first, heatmaps.shape[1:]) == (first, (224, 224))
        first += len(heatmaps)
    assert first == 1000
    ((_, one),) = ask(engine, digest, x, "grad-cam", [999], rendering=rendering)
    np.testing.assert_allclose(found[-1][1][0][-1], one, atol=1e-5)


REFUSED = {
    "other targets beside": ("digits40-cnn-gap", "grad-cam", [ALL, 3], (1, 40, 40), "leave out the other targets"),
    "a map of no target": ("digits40-cnn-gap", "eigen-cam", [ALL], (1, 40, 40), "the same for all classes"),
    "a contrast of all": (
        "digits40-cnn-gap",
        "grad-cam",
        [pb.Target(contrast=pb.Contrast(target=ALL))],
        (1, 40, 40),
        "this one is 10",
    ),
    "anchors": ("ultraface-rfb320", "grad-cam", [ALL], (3, 240, 320), "one by one, or for elements"),
    "all that is not said": ("digits40-cnn-gap", "grad-cam", [pb.Target(all=False)], (1, 40, 40), "or say true"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_of_all_classes_is_refused(shared: Path, engine: Engine, name: str):
    model, method, targets, shape, said = REFUSED[name]
    digest = stored(engine.store, shared / "models" / f"{model}.onnx")
    with pytest.raises(BadQuestion, match=said):
        ask(engine, digest, np.zeros((1, *shape), np.float32), method, targets)


def test_what_is_said_of_a_stack_is_what_is_said_of_each_map():
    maps = rng.normal(size=(7, 3, 3))
    maps[1], maps[2], maps[3, 0, 0], maps[6] = -1 - abs(maps[1]), 4, np.nan, 0
    guarded = np.array([0, 0, 0, 0, 2, 0, 0])
    known = [OK, OK, OK, OK, OK, pb.HEATMAP_STATUS_SATURATED, OK]
    looked = Looked((), maps, guarded, "layer", "digest", Passes(), causes=known)
    for profile in ("paper", "pytorch-grad-cam"):
        question = pb.Question(profile=profile)
        wording = read_question(pb.ExplainRequest(question=question, pictures=[pb.Picture(file=b"x")]), []).wording
        found = stack_statuses(looked, summary_of(maps), wording)
        assert found.tolist() == judge(maps, guarded, known, wording.rendering)
    short = stack_statuses(replace(looked, short=True), summary_of(maps), wording)
    assert short[0] == pb.HEATMAP_STATUS_PARTIAL
