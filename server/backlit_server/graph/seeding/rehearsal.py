"""Whether there is a way from a seed, found in a fraction of the time that it takes to make one."""

from collections.abc import Callable, Mapping
from typing import Any

from onnx import ModelProto

from backlit_server.graph.backward import passes
from backlit_server.graph.overlays.composites import COMPOSITES, Settings
from backlit_server.graph.overlays.rescale import RESCALE
from backlit_server.graph.reading.rounding import with_scores_unrounded
from backlit_server.graph.seeding.differences import side_by_side
from backlit_server.graph.spelling.merge import merged
from backlit_server.graph.vjp import VJPS, Rule

Differentiated = tuple[ModelProto, Mapping[str, Rule]]


def _gradients(model: ModelProto, layer: str, scores: str, parameters: Mapping[str, Any]) -> Differentiated:
    return model, VJPS


def _relevance(model: ModelProto, layer: str, scores: str, parameters: Mapping[str, Any]) -> Differentiated:
    named = (parameters[name] for name in ("epsilon", "gamma", "low", "high"))
    return merged(model), COMPOSITES[parameters["composite"]](Settings(*named))


def _differences(model: ModelProto, layer: str, scores: str, parameters: Mapping[str, Any]) -> Differentiated:
    return side_by_side(model, layer, scores), RESCALE


REHEARSALS: Mapping[str, Callable[..., Differentiated]] = {
    "": _gradients,
    "lrp": _relevance,
    "deep-lift": _differences,
}
"""What SEEDINGS of these names differentiate, and by which table."""


def rehearsed(name: str, model: ModelProto, layer: str, scores: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the seeding of a name can be made; False too where only making it can tell, and tells why."""
    if with_scores_unrounded(model, scores)[1] != scores:
        return False
    made, rules = REHEARSALS[name](model, layer, scores, parameters)
    return passes(made, [scores], [layer], rules)
