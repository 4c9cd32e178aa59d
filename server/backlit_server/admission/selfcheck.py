"""The gradients of a model beside finite differences of the model itself, before anyone trusts them."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
from onnx import ModelProto, TensorProto, helper

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, NotExplainable
from backlit_server.admission.comparison import DOUBLE, HALF, KINKED, SINGLE, Point, Precision, Time, Verdict, compare
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Session
from backlit_server.engine.trial import sample
from backlit_server.graph import differentiate, pruned, with_outputs
from backlit_server.graph.gradient_path import label, path_between
from backlit_server.graph.recording.kinds import kinds_of
from backlit_server.graph.spelling.retype import retyped
from backlit_server.graph.vjp import ROUNDED, VJPS, Rule
from backlit_server.methods import DEFAULT_METHOD

SECONDS = 0.4  # for head and network each: further directions that have not begun by then are left out
SECONDS_IN_DOUBT = 10.0  # where an input disagreed
LONGEST_PASS = 0.5  # seconds; the least comparison takes about twenty times as long
MOST_PARAMETERS = 1 << 28  # of a network whose gradients are held beside it
OFF_THE_KINKS = 0.1  # noise on the features, as a share of their size: many are exactly zero, where a ReLU put them
NAMES = {SINGLE: "single", KINKED: "single", HALF: "single", DOUBLE: "double"}
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Part:
    """A graph from the tensor `wrt` to the scores. `feeds` makes up its inputs; `axes` say what those of wrt hold.

    `precisions` are those that its function may be computed in, the best first; its gradient is the served one.
    `opened` is that function where a session for it is open already, in the last of the precisions.
    """

    graph: ModelProto
    wrt: str
    scores: str
    feeds: Callable[[np.random.Generator], Feeds]
    axes: Sequence[str]
    precisions: tuple[Precision, ...]
    opened: Callable[[Feeds], np.ndarray] | None = None


def self_check(model: OpenModel, seed: int = 0) -> pb.SelfCheck:
    """What comparisons along random directions find: through the head at the default layer, and the whole network."""
    return pb.SelfCheck(head=check_head(model, seed), network=check_network(model, seed))


def check_head(model: OpenModel, seed: int, rules: Mapping[str, Rule] = VJPS) -> pb.Comparison:
    """From the default layer to the scores."""
    return _checked(_head, model, seed, rules)


def check_network(model: OpenModel, seed: int, rules: Mapping[str, Rule] = VJPS) -> pb.Comparison:
    """From the image, or the first input that holds floats, to the scores."""
    return _checked(_network, model, seed, rules)


def _checked(
    part: Callable[[OpenModel], Part], model: OpenModel, seed: int, rules: Mapping[str, Rule]
) -> pb.Comparison:
    try:
        return _compared(model, part(model), seed, rules)
    except BacklitError as error:
        return _not_checked(error.message)
    except Exception as error:  # the check must not cost a model its admission: its failure is told, and logged
        traceback.print_exc()
        return _not_checked(f"the check itself failed with {type(error).__name__}; the server's log says more")


def _head(model: OpenModel) -> Part:
    """The head at the default layer, at features that made-up inputs lead to."""
    backbone = model.backbones.of(DEFAULT_METHOD, "")
    assert backbone.cut is not None
    made = backbone.cut

    def feeds(random: np.random.Generator) -> Feeds:
        tensors = backbone.session.run(sample(model.anatomy, 1, int(random.integers(1 << 31))))
        features = tensors[made.layer]
        noise = OFF_THE_KINKS * features.std() * random.normal(size=features.shape)
        return {name: tensors[name] for name in made.crossing} | {made.layer: (features + noise).astype(features.dtype)}

    half = dict(kinds_of(made.head.graph))[made.layer].dtype in HALVES
    precisions = (HALF,) if half else (DOUBLE, SINGLE)
    return Part(
        made.head, made.layer, model.anatomy.scores.name, feeds, model.anatomy.view_of(made.layer).held, precisions
    )


def _network(model: OpenModel) -> Part:
    """The whole network, at made-up inputs."""
    anatomy = model.anatomy
    floats = [spec for spec in anatomy.inputs if spec.dtype.startswith(("float", "bfloat"))]
    wrt = next((spec for spec in floats if spec.layout), floats[0] if floats else None)
    if wrt is None:
        raise NotExplainable("no input holds floats")
    if anatomy.parameters > MOST_PARAMETERS:
        raise NotExplainable(f"{anatomy.parameters:,} parameters are too many to compute everything twice")

    def feeds(random: np.random.Generator) -> Feeds:
        return dict(sample(anatomy, 1, int(random.integers(1 << 31))))

    def forward(given: Feeds) -> np.ndarray:
        return model.forward(given)[scores]

    scores = anatomy.scores.name
    graph = pruned(with_outputs(model.graph, [scores]), {scores})
    half = any(kind.dtype in HALVES for _, kind in kinds_of(graph.graph))
    return Part(graph, wrt.name, scores, feeds, wrt.layout, (HALF if half else KINKED,), None if half else forward)


def _compared(model: OpenModel, part: Part, seed: int, rules: Mapping[str, Rule]) -> pb.Comparison:
    began = monotonic()
    _refuse_rounding(part)
    first = part.feeds(np.random.default_rng(seed))
    forward, precision = _forward(model, part, first)
    seconds = min(_seconds(forward, first) for _ in range(2))
    if seconds > LONGEST_PASS:
        raise NotExplainable(f"one pass takes {seconds:.1f} s, so that finite differences would take too long")
    gradient = _gradient(model, part, rules)

    def point(random: np.random.Generator) -> Point:
        feeds = part.feeds(random)
        x = feeds[part.wrt].astype(precision.dtype)
        return Point(x, lambda x: forward(feeds | {part.wrt: x}), lambda weights: gradient(feeds, weights))

    spatial = [axis for axis, held in enumerate(part.axes) if not set("HWT").isdisjoint(held)]
    time = Time(began + SECONDS, began + SECONDS_IN_DOUBT)
    return _told(compare(point, spatial, precision, seed, time), precision)


def _seconds(forward: Callable[[Feeds], np.ndarray], feeds: Feeds) -> float:
    began = monotonic()
    forward(feeds)
    return monotonic() - began


def _refuse_rounding(part: Part) -> None:
    graph = part.graph.graph
    path = path_between(graph.node, dict(kinds_of(graph)), [part.scores], [part.wrt])
    if any(label(node) in ROUNDED for node in path.nodes):
        raise NotExplainable("quantised, straight-through: the gradient is by definition not that of the rounded steps")


def _forward(model: OpenModel, part: Part, first: Feeds) -> tuple[Callable[[Feeds], np.ndarray], Precision]:
    """The part's function in the best of its precisions that ONNX Runtime has all kernels for."""
    if part.opened:
        return part.opened, part.precisions[-1]
    refused: list[BacklitError] = []
    for precision in part.precisions:
        try:
            dtype = helper.np_dtype_to_tensor_dtype(precision.dtype)
            forward = _run_in(precision, model.session(retyped(part.graph, dtype)), part.scores)
            forward(first)
            return forward, precision
        except BacklitError as error:
            refused.append(error)
    raise refused[-1]


def _run_in(precision: Precision, session: Session, scores: str) -> Callable[[Feeds], np.ndarray]:
    def forward(feeds: Feeds) -> np.ndarray:
        given = {name: feeds[name] for name in session.inputs}
        cast = {n: a if a.dtype.kind in "iub" else a.astype(precision.dtype, copy=False) for n, a in given.items()}
        return session.run(cast)[scores]

    return forward


def _gradient(model: OpenModel, part: Part, rules: Mapping[str, Rule]) -> Callable[[Feeds, np.ndarray], np.ndarray]:
    """The gradient as it is served, given a weight for each of the scores."""
    seed, wanted = f"grad/{part.scores}", f"grad/{part.wrt}"
    session = model.session(pruned(differentiate(part.graph, [part.scores], [part.wrt], rules), {wanted}))
    dtype = helper.tensor_dtype_to_np_dtype(dict(kinds_of(part.graph.graph))[part.scores].dtype)

    def gradient(feeds: Feeds, weights: np.ndarray) -> np.ndarray:
        given = feeds | {seed: weights.astype(dtype)}
        return session.run({name: given[name] for name in session.inputs})[wanted]

    return gradient


def _told(verdict: Verdict, precision: Precision) -> pb.Comparison:
    """As the card says it."""
    worst = verdict.worst
    if worst is None:
        return _not_checked("rounding and kinks hide what finite differences would show at made-up inputs")
    if verdict.agrees is None:
        return _not_checked(f"{worst.error:.1%} apart, but finite differences could not be taken at enough inputs")
    numbers = {name: getattr(worst, name) for name in ("error", "doubt", "gradient", "difference")}
    how = f"along {verdict.directions} directions at made-up inputs, finite differences in {NAMES[precision]} precision"
    if verdict.agrees:
        return pb.Comparison(verdict=pb.Comparison.VERDICT_AGREES, explanation=how, **numbers)
    return pb.Comparison(verdict=pb.Comparison.VERDICT_DIFFERS, explanation=how, **numbers)


def _not_checked(why: str) -> pb.Comparison:
    return pb.Comparison(verdict=pb.Comparison.VERDICT_NOT_CHECKED, explanation=f"not checked: {why}")
