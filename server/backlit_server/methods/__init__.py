"""METHODS: one row a method. Pure numpy: a method knows no session, graph, thread or gRPC.

A method is a formula over named tensors, and the names it takes are what it needs:

    features  (rows, channels, height, width)  the layer's values, one row an (image, target)
    grads     (rows, channels, height, width)  d(seed . scores)/d(features)
    weights   (rows, channels, 1, 1)           seed times the weights of a pooling + linear head
    scores    (rows, classes)                  before a final softmax or sigmoid

Keyword-only arguments are the method's parameters. Formulas use numpy's method names, so
that the same line runs on arrays and is appended to the ONNX graph (graph/recording/sym.py).
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backlit_proto.errors import BadQuestion
from backlit_server.methods import cam, gradients, looking, principal

Formula = Callable[..., Any]
LAYER, IMAGE = "layer", "image"
EXACT, GUIDED, DECONVNET = "", "guided", "deconvnet"


@dataclass(frozen=True)
class Parameter:
    """One keyword-only argument of a formula, as ListMethods tells it."""

    name: str
    type: type
    default: Any
    documentation: str


@dataclass(frozen=True)
class Method:
    """One row of METHODS; what the formula takes is read from its signature and docstring.

    `at`: where its features and grads are, at a LAYER that can be chosen or at the IMAGE. `rules` names the rules that
    gradients are made by.
    """

    formula: Formula
    parameter_documentation: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("heatmap",)
    at: str = LAYER
    rules: str = EXACT

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of the tensors the formula takes, in order."""
        return tuple(p.name for p in _signature(self) if p.kind is not p.KEYWORD_ONLY)

    @property
    def needs_gradients(self) -> bool:
        return "grads" in self.needs

    @functools.cached_property
    def needs_layer(self) -> bool:
        return self.needs != ("scores",)

    @functools.cached_property
    def needs_seed(self) -> bool:
        """Whether the map depends on the target; if not, the whole map is the features' own."""
        return "grads" in self.needs or "weights" in self.needs

    def bound(self, parameters: Mapping[str, Any]) -> Formula:
        """The formula with these parameters, a function of tensors alone."""
        return functools.partial(self.formula, **parameters)

    @property
    def documentation(self) -> str:
        return inspect.cleandoc(self.formula.__doc__ or "")

    @property
    def summary(self) -> str:
        return self.documentation.partition("\n")[0]

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        named = [p for p in _signature(self) if p.kind is p.KEYWORD_ONLY]
        return tuple(
            Parameter(p.name, p.annotation, p.default, documentation)
            for p, documentation in zip(named, self.parameter_documentation, strict=True)
        )


SALIENCY = (
    "What is told of a pixel's channels: the largest (max), their mean, or their sum.",
    "Whether the sign is kept: whether more or less of a pixel helps the target.",
)

METHODS: dict[str, Method] = {
    "score": Method(looking.score),
    "feature-maps": Method(looking.feature_maps, ("The channels to return, in this order; none: all of them.",)),
    "cam": Method(cam.cam),
    "grad-cam": Method(cam.grad_cam),
    "grad-cam++": Method(cam.grad_cam_plus_plus, outputs=("heatmap", "guarded")),
    "hires-cam": Method(cam.hires_cam),
    "grad-cam-elementwise": Method(cam.grad_cam_elementwise),
    "layer-cam": Method(cam.layer_cam),
    "xgrad-cam": Method(cam.xgrad_cam),
    "eigen-cam": Method(principal.eigen_cam),
    "fem": Method(principal.fem),
    "saliency": Method(gradients.saliency, SALIENCY, at=IMAGE),
    "gradient-x-input": Method(gradients.gradient_x_input, at=IMAGE),
    "guided-backprop": Method(gradients.guided_backprop, SALIENCY, at=IMAGE, rules=GUIDED),
    "deconvnet": Method(gradients.deconvnet, SALIENCY, at=IMAGE, rules=DECONVNET),
}


DEFAULT_METHOD = "grad-cam"


def method(name: str) -> Method:
    """The row of a method; BadQuestion names the valid ones."""
    if name not in METHODS:
        raise BadQuestion(f"there is no method {name!r}; there are {', '.join(METHODS)}")
    return METHODS[name]


def bind(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The method's parameters with defaults filled in; BadQuestion for a name or a value it does not take."""
    parameters = {p.name: p for p in method(name).parameters}
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        valid = ", ".join(parameters) or "none at all"
        raise BadQuestion(f"{name} has no parameter {', '.join(map(repr, unknown))}; it takes {valid}")
    return {p.name: _value(name, p, given[p.name]) if p.name in given else p.default for p in parameters.values()}


def _value(name: str, parameter: Parameter, given: Any) -> Any:
    """A value from the wire, where all numbers are doubles, as the parameter's own type."""
    try:
        value = CONVERSIONS[parameter.type](given)
    except (TypeError, ValueError):
        wanted = TYPE_NAMES[parameter.type]
        raise BadQuestion(f"{name}: parameter {parameter.name} must be {wanted}, not {given!r}") from None
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(value)
    return int(value)


def _integers(value: Any) -> tuple[int, ...]:
    return tuple(_integer(v) for v in value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _reduction(value: Any) -> str:
    if value not in gradients.OVER_CHANNELS:
        raise ValueError(value)
    return value


CONVERSIONS: dict[Any, Callable[[Any], Any]] = {
    int: _integer,
    tuple[int, ...]: _integers,
    bool: _boolean,
    gradients.Reduction: _reduction,
}
TYPE_NAMES: dict[Any, str] = {
    int: "a whole number",
    tuple[int, ...]: "a list of whole numbers",
    bool: "true or false",
    gradients.Reduction: f"one of {', '.join(gradients.OVER_CHANNELS)}",
}


def _signature(row: Method) -> list[inspect.Parameter]:
    return list(inspect.signature(row.formula).parameters.values())
