"""Heads that are not linear: their gradients against central differences in double precision."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator

import plain
from backlit_server.engine.engine import Engine
from backlit_server.graph import canonical, cut, differentiate, examine
from bare import ask, stored

MODELS = (
    "gender-dlib",
    "catsordogs-nhwc",
    "mnist-cntk",
    "mnist-dianna",
    "mnist-optimized",
    "pplcnet-orientation",
)
STEP = 1e-5
DIRECTIONS = 5


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_of_a_dense_head_agrees_with_central_differences(shared: Path, name: str):
    rng = np.random.default_rng(3)
    model = canonical(onnx.load(shared / "models" / f"{name}.onnx"))
    anatomy = examine(model)
    made = cut(model, anatomy.default_layer, anatomy.scores.name, anatomy.batched)
    shape = [1, *(d.dim_value for d in made.head.graph.input[0].type.tensor_type.shape.dim)][1:]
    features = rng.random([1, *shape[1:]]).astype(np.float32)
    scores = doubled(made.head)
    classes = scores(features).shape[1]
    for target in {0, classes - 1}:
        seed = np.eye(classes, dtype=np.float32)[[target]]
        gradient = gradient_of(made, anatomy.scores.name, features, seed)
        for _ in range(DIRECTIONS):
            direction = rng.normal(size=features.shape)
            ahead, behind = (scores(features + sign * STEP * direction)[0, target] for sign in (1, -1))
            slope = (ahead - behind) / (2 * STEP)
            assert np.isclose((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-4 * np.linalg.norm(gradient))


SLOPES = {  # of an activation, by what it makes
    "Relu": lambda r: (r > 0) * 1.0,
    "Tanh": lambda r: 1 - r**2,
    "Sigmoid": lambda r: r * (1 - r),
    "Elu": lambda r: np.where(r > 0, 1, r + 1),
}


@pytest.mark.parametrize("activation", SLOPES)
def test_the_vectors_of_each_image_are_its_own(engine: Engine, tmp_path: Path, activation: str):
    """Two images, three targets, two dense layers, against the chain rule in double precision."""
    rng = np.random.default_rng(7)
    model = parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
        net (float[N,3,4,4] x) => (float[N,5] y) {{
            f = Conv (x, K)
            v = Flatten (f)
            d = Gemm (v, W, b)
            r = {activation} (d)
            y = Gemm (r, V)
        }}""")
    weights = {"K": (2, 3, 2, 2), "W": (18, 7), "b": (7,), "V": (7, 5)}
    w = {name: rng.normal(size=shape).astype(np.float32) for name, shape in weights.items()}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in w.items())
    onnx.save(model, tmp_path / "net.onnx")
    x = rng.normal(size=(2, 3, 4, 4)).astype(np.float32)
    f, r = plain.values(opened(model, "f", "r"), ["f", "r"], {"x": x})
    found = ask(engine, stored(engine.store, tmp_path / "net.onnx"), x, "hires-cam", [0, 3, 4], layer="f")
    for told, heatmap in found:
        back = w["V"][:, told.target.class_index] * SLOPES[activation](r[told.image].astype(float))
        expected = (f[told.image] * (w["W"] @ back).reshape(2, 3, 3)).sum(0)
        assert np.allclose(heatmap, expected, rtol=1e-4, atol=1e-5)
    assert len(found) == 6


def opened(model: onnx.ModelProto, *names: str) -> onnx.ModelProto:
    """The model with inner tensors among its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copy


BATCHED = {
    "gender-dlib": (3, 32, 32),
    "catsordogs-nhwc": (256, 256, 1),
    "mnist-cntk": (1, 28, 28),
    "mnist-dianna": (1, 28, 28),
    "pplcnet-orientation": (3, 224, 224),
    "edgenext_xx_small": (3, 256, 256),
    "mobilevit_xxs": (3, 256, 256),
}


@pytest.mark.parametrize("name", BATCHED)
def test_several_images_and_targets_at_once_are_each_alone(shared: Path, engine: Engine, name: str):
    """Also where the file fixes the batch to one image, and runs go one by one."""
    digest = stored(engine.store, shared / "models" / f"{name}.onnx")
    x = np.random.default_rng(4).random((2, *BATCHED[name])).astype(np.float32)
    for method in ("grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam"):
        together = ask(engine, digest, x, method, [0, 1])
        alone = [pair for i in range(2) for c in (0, 1) for pair in ask(engine, digest, x[[i]], method, [c])]
        assert [(e.image, e.target.class_index) for e, _ in together] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        for (_, ours), (_, theirs) in zip(together, alone, strict=True):
            assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max() + 1e-12), method


def gradient_of(made, scores: str, features: np.ndarray, seed: np.ndarray) -> np.ndarray:
    graph = differentiate(made.head, [scores], [made.layer])
    feeds = {made.layer: features, f"grad/{scores}": seed}
    (gradient,) = plain.values(graph, [f"grad/{made.layer}"], feeds)
    return gradient.astype(np.float64)


def doubled(head: onnx.ModelProto):
    """The head's scores, computed in double precision by onnx's own evaluator."""
    twin = onnx.ModelProto()
    twin.CopyFrom(head)
    for tensor in twin.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
            )
    evaluator = ReferenceEvaluator(twin)
    name = head.graph.input[0].name
    return lambda features: np.asarray(next(iter(evaluator.run(None, {name: features.astype(np.float64)}))))
