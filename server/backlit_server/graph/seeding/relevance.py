"""The seeding of relevance: what starts at the scores is a share of the scores themselves."""

from onnx import ModelProto, helper

from backlit_server.graph.overlays.composites import COMPOSITES, Settings
from backlit_server.graph.seeding.seeded import Seeded, seeded
from backlit_server.graph.spelling.merge import merged

SHARE = "relevance/"  # before the name of the scores


def relevance(
    model: ModelProto,
    layer: str,
    scores: str,
    *,
    composite: str,
    epsilon: float,
    gamma: float,
    low: tuple[float, ...],
    high: tuple[float, ...],
) -> Seeded:
    """`relevance` at the layer, of seed x scores; batch norms belong to the convolutions before them."""
    rules = COMPOSITES[composite](Settings(epsilon, gamma, low, high))
    made = seeded(merged(model), layer, scores, True, rules)
    _share(made, scores)
    return Seeded(made, {"features": layer, "relevance": f"grad/{layer}"})


def _share(model: ModelProto, scores: str) -> None:
    """Has the seed times the scores, in place, wherever the seed was."""
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [SHARE + scores if name == f"grad/{scores}" else name for name in node.input]
    ready = max((k for k, node in enumerate(nodes) if scores in node.output), default=-1) + 1
    # What reads the seed alone may stand before the scores.
    early = [node for node in nodes[:ready] if SHARE + scores in node.input]
    before = [node for node in nodes[:ready] if SHARE + scores not in node.input]
    share = helper.make_node("Mul", [f"grad/{scores}", scores], [SHARE + scores])
    del model.graph.node[:]
    model.graph.node.extend([*before, share, *early, *nodes[ready:]])
