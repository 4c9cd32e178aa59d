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

from collections.abc import Mapping
from typing import Any

from backlit_proto.errors import BadQuestion
from backlit_server.methods import (
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
from backlit_server.methods.binding import filled_in
from backlit_server.methods.method import IMAGE, LAYER, PENULTIMATE, TOKENS, Method
from backlit_server.methods.words import FILL, MASKS, NOISE, NOISY, SALIENCY, SCORE_CAM, SUPERPIXELS, TOLERANCE, WEIGHTS

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
