"""Any float tensor can be the layer: the head's gradient there is the slope of the scores, whatever else crosses."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

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
# Shares of the tensor's length: so small that hardly a kink lies between, or so large that what is faint shows.
STEPS = (1.0, 1e-1, 1e-3, 1e-5, 1e-7)
ROUNDED = (1e-2, 3e-3, 1e-3, 3e-4)
MOST = 24  # tensors of a model, from its first to its last
FAINT = "/xca/"  # the attention of EdgeNeXt, untrained: scaled by 1e-12, less than double precision can tell apart
STAIRS = ("efficientnet-lite0-qdq-int8", "squeezenet11-qdq-int8", "squeezenet11-qoperator")  # no slope but zero


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_the_gradient_inside_a_network_is_the_slope_of_the_scores(shared: Path, name: str, layer: str) -> None:
    made, crossing, seed = cut_at(shared, name, layer)
    assert len(made.crossing) == LAYERS[name, layer]
    assert slope_error(doubled(made.head), made, crossing, seed, STEPS) < 3e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name not in STAIRS])
def test_so_it_is_everywhere(shared: Path, name: str) -> None:
    """In single precision where that is enough, else in double."""
    wires, scores = wiring(model_of(shared, name)), anatomy_of(shared, name).scores.name
    path = on_paths(wires, scores)
    tensors = [n for node in wires.nodes for n in node.output if n in path and wires.float(n) and n != scores]
    layers = [n for n in tensors if FAINT not in n]
    for layer in layers[:: -(-len(layers) // MOST)]:
        made, crossing, seed = cut_at(shared, name, layer)
        if slope_error(single(made.head), made, crossing, seed, ROUNDED) > 1e-2:
            assert slope_error(doubled(made.head), made, crossing, seed, STEPS) < 5e-3, layer


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
        up, down = (np.asarray(scores(crossing | {made.layer: end}), np.float64) for end in ends)
        errors.append(abs(np.vdot(seed, up - down) / (2 * np.linalg.norm(move)) / length - 1))
    return min(errors)


class Erf(OpRun):
    """In double precision: onnx's own has single."""

    op_domain = ""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (np.vectorize(math.erf, otypes=[np.float64])(x),)


def single(head: onnx.ModelProto):
    """The head's scores, computed by ONNX Runtime as they are when a model is served."""
    session = plain.session(head)
    dtypes = {i.name: np.int64 if "int64" in i.type else np.float32 for i in session.get_inputs()}
    return lambda given: session.run(None, {name: array.astype(dtypes[name]) for name, array in given.items()})[0]


def doubled(head: onnx.ModelProto):
    """The head's scores, computed in double precision by onnx's own evaluator."""
    twin = onnx.ModelProto()
    twin.CopyFrom(head)
    for tensor in twin.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for cast in (a for node in twin.graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to"):
        cast.i = onnx.TensorProto.DOUBLE if cast.i == onnx.TensorProto.FLOAT else cast.i
    evaluator = ReferenceEvaluator(twin, new_ops=[Erf])

    def scores(given: Crossing) -> np.ndarray:
        floats = {name: array.astype(np.float64) for name, array in given.items() if array.dtype == np.float32}
        return np.asarray(next(iter(evaluator.run(None, given | floats))))

    return scores
