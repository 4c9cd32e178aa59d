"""Any float tensor can be the layer: the head's gradient there is the slope of the scores, whatever else crosses."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import plain
from backlit_server.graph import cut, differentiate
from backlit_server.graph.cut import Cut
from backlit_server.graph.reading.paths import on_paths
from backlit_server.graph.reading.wiring import wiring
from real_models import CLASSIFIERS, anatomy_of, feeds, model_of, run

# Inside residual branches, gates, concatenations, attention; how many tensors cross there.
# fmt: off
LAYERS = {
    ("age-resnet10-dlib", "layer_12_left_padded"): 2,
    ("digits40-vit-tiny", "/blocks/blocks.2/attn/Softmax_output_0"): 3,
    ("digits40-vit-tiny", "/blocks/blocks.1/attn/Squeeze_1_output_0"): 4,
    ("digits40-vit-tiny", "/Concat_1_output_0"): 1,
    ("edgenext_xx_small", "/stages/stages.3/blocks/blocks.1/xca/Softmax_output_0"): 4,
    ("edgenext_xx_small", "/stages/stages.3/blocks/blocks.1/convs.0/Conv_output_0"): 5,
    ("mobilevit_xxs", "/stages/stages.4/stages.4.1/transformer/transformer.1/attn/Softmax_output_0"): 6,
    ("mobilevit_xxs", "/stages/stages.4/stages.4.1/conv_kxk/conv/Conv_output_0"): 2,
    ("pplcnet-orientation", "p2o.pd_op.hardsigmoid.1.0"): 2,
    ("shufflenet_v2_x0_5", "/stage4/stage4.3/Concat_output_0"): 1,
    ("squeezenet11-ndf", "fire9/expand1x1/relu"): 2,
    ("ultraface-rfb320", "314"): 1,
}
# fmt: on
STEPS = (1e-2, 1e-3, 1e-4, 1e-5)
ROUNDED = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
STRIDE = 7  # of the tensors of a model, every so many


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_the_gradient_inside_a_network_is_the_slope_of_the_scores(shared: Path, name: str, layer: str) -> None:
    made, crossing, seed = cut_at(shared, name, layer)
    assert len(made.crossing) == LAYERS[name, layer]
    assert slope_error(doubled(made.head), made, crossing, seed, STEPS) < 3e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_so_it_is_everywhere(shared: Path, name: str) -> None:
    """In single precision where that is enough, else in double."""
    wires, scores = wiring(model_of(shared, name)), anatomy_of(shared, name).scores.name
    path = on_paths(wires, scores)
    layers = [n for node in wires.nodes for n in node.output if n in path and wires.float(n) and n != scores]
    for layer in layers[::STRIDE]:
        made, crossing, seed = cut_at(shared, name, layer)
        single = plain.session(made.head)
        if slope_error(lambda given, run=single.run: run(None, given)[0], made, crossing, seed, ROUNDED) > 1e-2:
            assert slope_error(doubled(made.head), made, crossing, seed, STEPS) < 1e-3, layer


Crossing = dict[str, np.ndarray]


def cut_at(shared: Path, name: str, layer: str) -> tuple[Cut, Crossing, np.ndarray]:
    """The cut, what crosses it on a random picture, and a seed. Noise at the layer unties equal maxima."""
    found = anatomy_of(shared, name)
    made = cut(model_of(shared, name), layer, found.scores.name, found.batched)
    values = forward(shared, name, made)
    rng = np.random.default_rng(5)
    at = values[made.layer]
    noisy = (at + 0.03 * (at.std() + 1e-3) * rng.standard_normal(at.shape)).astype(at.dtype)
    seed = rng.standard_normal(values[found.scores.name].shape).astype(at.dtype)
    return made, {tensor: values[tensor] for tensor in made.crossing} | {made.layer: noisy}, seed


def forward(shared: Path, name: str, made: Cut) -> Crossing:
    return run(made.backbone, feeds_of(shared, name))


@cache
def feeds_of(shared: Path, name: str) -> Crossing:
    """One picture, or as many as the file wants."""
    model = model_of(shared, name)
    free = {i.name for i in model.graph.input if i.type.tensor_type.shape.dim[0].dim_param}
    return {n: array[:1] if n in free else array for n, array in feeds(model).items()}


def slope_error(scores, made: Cut, crossing: Crossing, seed: np.ndarray, steps: tuple[float, ...]) -> float:
    """How far the scores climb along the gradient, against its length: the best over the steps, 0 where both are 0."""
    name = made.head.graph.output[0].name
    session = plain.session(differentiate(made.head, [name], [made.layer]))
    gradient = np.asarray(session.run([f"grad/{made.layer}"], crossing | {f"grad/{name}": seed})[0], np.float64)
    length, at = np.linalg.norm(gradient), crossing[made.layer]
    if not length:
        return 0.0
    errors = []
    for step in steps:
        move = step * max(float(np.linalg.norm(at)), 1e-3) * gradient / length
        ends = [at + sign * move for sign in (1, -1)]
        up, down = (np.asarray(scores(crossing | {made.layer: end.astype(at.dtype)}), np.float64) for end in ends)
        errors.append(abs(np.vdot(seed, up - down) / (2 * np.linalg.norm(move)) / length - 1))
    return min(errors)


def doubled(head: onnx.ModelProto):
    """The head's scores, computed in double precision by onnx's own evaluator."""
    twin = onnx.ModelProto()
    twin.CopyFrom(head)
    for tensor in twin.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    evaluator = ReferenceEvaluator(twin)

    def scores(given: Crossing) -> np.ndarray:
        floats = {name: array.astype(np.float64) for name, array in given.items() if array.dtype == np.float32}
        return np.asarray(next(iter(evaluator.run(None, given | floats))))

    return scores
