"""METHODS: one row a method. Pure numpy: a method knows no session, graph, thread or gRPC.

A method is a formula over named tensors, and the names it takes are what it needs:

    features  (rows, channels, height, width)  the layer's values, one row an (image, target)
    grads     (rows, channels, height, width)  d(seed . scores)/d(features)
    weights   (rows, channels, 1, 1)           seed times the weights of a pooling + linear head
    scores    (rows, classes)                  before a final softmax or sigmoid

A method of many passes is a generator instead (asking.py); it takes one image and all its targets:

    image     (1, channels, height, width)  as the model takes it, channels first
    features  (1, channels, height, width)  at the layer
    scores    (1, *scores)                  of the image
    classes   (1, classes)                  the same, where they are those of several classes
    seeds     (targets, *scores)            d(target)/d(scores)
    probability                             (scores (n, *scores), seeds) -> (n, targets)
    probabilities                           (scores (n, *scores)) -> (n, scores), of all of them
    batch                                   how many images, or features, are best asked for at once
    anchors   (targets,)                    which of a detector's boxes each target is

Keyword-only arguments are the method's parameters. Formulas use numpy's method names, so
that the same line runs on arrays and is appended to the ONNX graph (graph/recording/sym.py).
"""

import functools
import inspect
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backlit_proto.errors import BadQuestion
from backlit_server.methods import (
    asking,
    attention,
    cam,
    detections,
    gradients,
    head_probing,
    integrated,
    looking,
    masks,
    noise,
    occlusion,
    principal,
    score_cam,
    sidu,
    sise,
    superpixels,
    variations,
)
from backlit_server.methods.asking import (
    Blocks,
    Detections,
    Gradients,
    HeadGradients,
    HeadScores,
    LayerGradients,
    Scores,
    Superpixels,
)
from backlit_server.methods.parameters import conversion

Formula = Callable[..., Any]
LAYER, PENULTIMATE, TOKENS, IMAGE = "layer", "penultimate", "tokens", "image"
FORWARD = frozenset({"features", "scores", "image", "probability", "probabilities", "batch"})  # needs no seed


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

    `at`: where its features and grads are, at a LAYER that can be chosen, at the PENULTIMATE one unless another is
    chosen, at the TOKENS that the first attention reads, or at the IMAGE. `rules` names the seeding: the rules that
    gradients are made by, or what else leads from a seed to what the formula takes. `asks`: what a method of many
    passes may ask for. `forwards`: how often a formula has the network computed for a target. `of`: whose gradients
    they are, if not the scores': those of a LAYER.
    """

    formula: Formula
    parameter_documentation: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("heatmap",)
    at: str = LAYER
    rules: str = ""
    asks: tuple[type, ...] = ()
    forwards: int = 1
    of: str = ""

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of the tensors the formula takes, in order."""
        return tuple(p.name for p in _signature(self) if p.kind is not p.KEYWORD_ONLY)

    @functools.cached_property
    def many_passes(self) -> bool:
        """Whether it is a generator that asks, not a formula."""
        return inspect.signature(self.formula).return_annotation is asking.Steps

    @property
    def needs_gradients(self) -> bool:
        made = {*self.needs} - FORWARD - {"weights", "seeds", "anchors"}
        return bool(made) or not asking.GRADIENT_ASKS.isdisjoint(self.asks)

    @functools.cached_property
    def needs_layer(self) -> bool:
        """Whether the model is cut: at a layer that can be chosen, or at the image."""
        uncut = FORWARD - {"features"} | {"seeds", "anchors"}
        return not (uncut.issuperset(self.needs) and asking.CUT_ASKS.isdisjoint(self.asks))

    @functools.cached_property
    def needs_image(self) -> bool:
        """Whether the model's input has to be one image."""
        return self.at == IMAGE or not asking.HEAD_ASKS.issuperset(self.asks)

    @functools.cached_property
    def needs_seed(self) -> bool:
        """Whether the map depends on the target; if not, the whole map is the features' own."""
        return not FORWARD.issuperset(self.needs)

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
        return keyword_parameters(self.formula, self.parameter_documentation)


def keyword_parameters(function: Callable[..., Any], documentation: Sequence[str]) -> tuple[Parameter, ...]:
    """The keyword-only arguments of a function, each with its documentation."""
    named = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return tuple(Parameter(p.name, p.annotation, p.default, said) for p, said in zip(named, documentation, strict=True))


SALIENCY = (
    "What is told of a pixel's channels: the largest (max), their mean, or their sum.",
    "Whether the sign is kept: whether more or less of a pixel helps the target.",
)

NOISE = (
    "How many noisy copies of the image.",
    "Standard deviation of the noise, as a share of the image's span (largest less smallest value).",
    "What the noise is drawn from: the same seed, the same map.",
)
NOISY = (*NOISE[:2], SALIENCY[0], NOISE[2])

FILL = "What stands where the image is hidden, as the model takes it: a number, or an array of the input's shape."
TOLERANCE = "Enough when the standard error is at most this share of the map's span; 0: all are made."

MASKS = (
    "How many masks.",
    "Cells along each side of the coarse grids that masks are made of.",
    "How likely a cell is kept.",
    FILL,
    TOLERANCE,
    "What the masks are drawn from: the same seed, the same masks.",
)

SUPERPIXELS = (
    "About how many superpixels.",
    "How square superpixels are, against how even in colour (SLIC).",
    "How many images of which some superpixels are hidden.",
)

WEIGHTS = "The method whose weights the maps are given."

SCORE_CAM = (
    "How many maps, those that vary most (Faster Score-CAM); 0: all of them.",
    "How many noisy copies of each map (SS-CAM).",
    "Standard deviation of the noise, as a share of each map's span.",
    "How many steps each mask fades in by (IS-CAM).",
    "What the noise is drawn from: the same seed, the same map.",
)

METHODS: dict[str, Method] = {
    "score": Method(looking.score),
    "feature-maps": Method(looking.feature_maps, ("The channels to return, in this order; none: all of them.",)),
    "embedding": Method(looking.embedding, at=PENULTIMATE),
    "cam": Method(cam.cam, rules="weights"),
    "grad-cam": Method(cam.grad_cam),
    "grad-cam++": Method(cam.grad_cam_plus_plus, outputs=("heatmap", "guarded")),
    "hires-cam": Method(cam.hires_cam),
    "grad-cam-elementwise": Method(cam.grad_cam_elementwise),
    "layer-cam": Method(cam.layer_cam),
    "xgrad-cam": Method(cam.xgrad_cam),
    "eigen-cam": Method(principal.eigen_cam),
    "kpca-cam": Method(principal.kpca_cam, ("How places are compared: sigmoid, rbf or linear.",)),
    "fem": Method(principal.fem),
    "saliency": Method(gradients.saliency, SALIENCY, at=IMAGE),
    "gradient-x-input": Method(gradients.gradient_x_input, at=IMAGE),
    "le-grad": Method(attention.le_grad, at=TOKENS, rules="le-grad"),
    "attention-rollout": Method(attention.attention_rollout, at=TOKENS, rules="attention-rollout"),
    "neuron-gradient": Method(
        gradients.neuron_gradient,
        (
            "What is told of a pixel's channels: each of them, the largest (max), their mean, or their sum.",
            SALIENCY[1],
        ),
        at=IMAGE,
        of=LAYER,
    ),
    "guided-backprop": Method(gradients.guided_backprop, SALIENCY, at=IMAGE, rules="guided"),
    "deconvnet": Method(gradients.deconvnet, SALIENCY, at=IMAGE, rules="deconvnet"),
    "guided-grad-cam": Method(variations.guided_grad_cam, SALIENCY, asks=(Gradients, HeadGradients)),
    "full-grad": Method(
        gradients.full_grad,
        ("Whether the implicit biases of activations count: what they give off the line of their slope.",),
        outputs=("heatmap", "completeness error"),
        at=IMAGE,
        rules="full-grad",
    ),
    "lrp": Method(
        gradients.lrp,
        (
            "Which rule passes which layer: dense layers the one named first, convolutions the second, the first layer "
            "the third where there is one; excitation-backprop passes all by z-plus.",
            "What dense layers absorb, which quiets what contradicts itself.",
            "How much more what supports counts than what opposes, by the gamma rule.",
            "The smallest value the input can have, for the box rule: one, or one a channel; none: each image's own.",
            "The largest, likewise.",
        ),
        at=IMAGE,
        rules="lrp",
    ),
    "deep-lift": Method(
        gradients.deep_lift,
        ("The baseline, as the model takes it: a number for all pixels and channels, or an array like one input.",),
        outputs=("heatmap", "completeness error"),
        forwards=2,
        at=IMAGE,
        rules="deep-lift",
    ),
    "integrated-gradients": Method(
        integrated.integrated_gradients,
        ("How many points of the line.", "Where the line begins: a number, or an array of the input's shape."),
        at=IMAGE,
        asks=(Gradients, Scores),
    ),
    "expected-gradients": Method(
        integrated.expected_gradients,
        (
            "Where lines begin: an array of inputs; none: noise like the image's own values.",
            "How many points, each of a line of its own.",
            TOLERANCE,
            "What baselines and points are drawn from: the same seed, the same map.",
        ),
        at=IMAGE,
        asks=(Gradients, Scores),
    ),
    "smooth-grad": Method(noise.smooth_grad, NOISY, at=IMAGE, asks=(Gradients,)),
    "square-grad": Method(noise.square_grad, NOISY, at=IMAGE, asks=(Gradients,)),
    "var-grad": Method(noise.var_grad, NOISY, at=IMAGE, asks=(Gradients,)),
    "smooth-grad-cam++": Method(noise.smooth_grad_cam_plus_plus, NOISE, asks=(LayerGradients,)),
    "eigen-grad-cam": Method(variations.eigen_grad_cam, (WEIGHTS,), asks=(HeadGradients,)),
    "ablation-cam": Method(head_probing.ablation_cam, asks=(HeadScores,)),
    "score-cam": Method(score_cam.score_cam, SCORE_CAM, asks=(Scores,)),
    "recipro-cam": Method(
        head_probing.recipro_cam,
        ("Whether its neighbours are kept too, by the paper's Gaussian: 1 2 1 / 2 4 2 / 1 2 1, divided by 16.",),
        asks=(HeadScores,),
    ),
    "shapley-cam": Method(
        head_probing.shapley_cam,
        ("Step of the finite difference along the features, relative to them.",),
        asks=(HeadGradients,),
    ),
    "finer-cam": Method(
        variations.finer_cam,
        (
            "How much the similar classes count: 0 is the method of `weights` itself.",
            "How many similar classes, those whose scores are nearest.",
            WEIGHTS,
        ),
        asks=(HeadGradients,),
    ),
    "random-cam": Method(head_probing.random_cam, ("What the weights are drawn from: the same seed, the same map.",)),
    "occlusion": Method(
        occlusion.occlusion,
        (
            "Side of the square that is hidden, in pixels of the input; 0: a seventh of the shorter side.",
            "Pixels from one square to the next; 0: half a side.",
            FILL,
        ),
        at=IMAGE,
        asks=(Scores,),
    ),
    "rise": Method(masks.rise, MASKS, at=IMAGE, asks=(Scores,)),
    "d-rise": Method(detections.d_rise, MASKS, at=IMAGE, asks=(Detections,)),
    "sidu": Method(sidu.sidu, ("Values of the features above it count as active.", FILL), asks=(Scores,)),
    "sise": Method(sise.sise, (FILL,), at=IMAGE, asks=(Blocks, Scores)),
    "ada-sise": Method(sise.ada_sise, (FILL,), at=IMAGE, asks=(Blocks, Scores)),
    "kernel-shap": Method(
        superpixels.kernel_shap,
        (*SUPERPIXELS, FILL, TOLERANCE, "What coalitions are drawn from: the same seed, the same map."),
        at=IMAGE,
        asks=(Superpixels, Scores),
    ),
    "lime": Method(
        superpixels.lime,
        (
            *SUPERPIXELS,
            "Of ridge regression: how much a squared weight costs.",
            FILL,
            TOLERANCE,
            "What is hidden is drawn from it: the same seed, the same map.",
        ),
        at=IMAGE,
        asks=(Superpixels, Scores),
    ),
}


DEFAULT_METHOD = "grad-cam"


def method(name: str) -> Method:
    """The row of a method; BadQuestion names the valid ones."""
    if name not in METHODS:
        raise BadQuestion(f"there is no method {name!r}; there are {', '.join(METHODS)}")
    return METHODS[name]


def bind(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The method's parameters with defaults filled in; BadQuestion for a name or a value it does not take."""
    return bind_to(method(name), name, given)


def bind_to(row: Method, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a row that a method of this name has somewhere."""
    return filled_in(name, row.parameters, given)


def filled_in(name: str, taken: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters, defaults where nothing is given; `name` is whose they are."""
    parameters = {p.name: p for p in taken}
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        valid = ", ".join(parameters) or "none at all"
        raise BadQuestion(f"{name} has no parameter {', '.join(map(repr, unknown))}; it takes {valid}")
    return {p.name: _value(name, p, given[p.name]) if p.name in given else p.default for p in parameters.values()}


def _value(name: str, parameter: Parameter, given: Any) -> Any:
    """A value from the wire, where all numbers are doubles, as the parameter's own type."""
    convert, wanted = conversion(parameter.type)
    try:
        value = convert(given)
    except (TypeError, ValueError):
        raise BadQuestion(f"{name}: parameter {parameter.name} must be {wanted}, not {reprlib.repr(given)}") from None
    return value


def _signature(row: Method) -> list[inspect.Parameter]:
    return list(inspect.signature(row.formula).parameters.values())
