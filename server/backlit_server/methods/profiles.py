"""PROFILES: one row a library, with the conventions that its pictures follow.

A question names a profile, and says only what it wants otherwise. "paper" follows each method's own paper and gives the
raw signed map at the layer's size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.methods import METHODS, bind_to, conventions, conventions_asking, method
from backlit_server.methods.asking import Gradients, HeadGradients, Scores
from backlit_server.methods.interpolation import BILINEAR
from backlit_server.methods.method import IMAGE, Method
from backlit_server.methods.words import WEIGHTS

DEFAULT_PROFILE = "paper"
FLOAT32, UINT8 = np.dtype(np.float32), np.dtype(np.uint8)
RELU, RESIZE, NORMALIZE = "relu", "resize", "normalize"
# Where a question names no layer: the card's default, or the last that is a map, the output of a convolution, or a map
# of more channels than rows and columns.
DEFAULT_LAYER, LAST_MAP, LAST_CONVOLUTION, LAST_DEEP = "default", "last map", "last convolution", "last deep map"
# What is explained: the scores, what the file itself makes of them, or probabilities whether or not it makes them.
SCORES, OUTPUT, PROBABILITY = "", "output", "probability"
VALUES = ("score", "feature-maps", "embedding")  # what they show are no heatmaps


@dataclass(frozen=True)
class Rendering:
    """How heatmaps are finished: `steps`, in their order.

    `size` is "layer", "input" or (height, width); `interpolation` a kind of INTERPOLATIONS. `epsilon` enlarges the span
    that NORMALIZE divides by, which is that of `each_channel`, or told by `value_range`.
    """

    size: str | tuple[int, int] = "layer"
    steps: tuple[str, ...] = (RESIZE,)
    epsilon: float = 0.0
    interpolation: str = BILINEAR
    dtype: np.dtype = FLOAT32
    each_channel: bool = False
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Profile:
    """The conventions of one library; of what it says nothing, the papers hold.

    `rendering` finishes maps at a layer, `renderings` those of single methods. `methods` are the rows that the library
    computes in another way, `defaults` the parameters that it sets otherwise, `fusion` what it makes of several layers.
    """

    summary: str
    layer: str = DEFAULT_LAYER
    explains: str = SCORES
    rendering: Rendering = Rendering()
    renderings: Mapping[str, Rendering] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fusion: str = "mean"

    def row(self, name: str) -> Method:
        """How a method is computed; BadQuestion where there is none of this name."""
        return self.methods.get(name) or method(name)

    def bind(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The method's parameters, with what the profile sets and what is left filled in."""
        return bind_to(self.row(name), name, {**self.defaults.get(name, {}), **given})

    def finish(self, name: str) -> Rendering:
        """How the maps of a method are finished where a question does not say."""
        plain = name in VALUES or self.row(name).at == IMAGE
        return self.renderings.get(name) or (Rendering() if plain else self.rendering)


def profile(name: str) -> Profile:
    """The row of a profile; BadQuestion names the valid ones."""
    if name not in PROFILES:
        raise BadQuestion(f"there is no profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]


PROFILES: Mapping[str, Profile] = {
    DEFAULT_PROFILE: Profile("Each method as its paper has it; the raw signed map at the size of its layer."),
    "pytorch-grad-cam": Profile(
        "pytorch-grad-cam: rectified, min-max with 1e-7, resized to the input (bilinear), min-max again.",
        rendering=Rendering("input", (RELU, NORMALIZE, RESIZE, NORMALIZE), 1e-7),
        methods={
            "grad-cam++": Method(conventions.grad_cam_plus_plus_damped),
            "xgrad-cam": Method(conventions.xgrad_cam_with(1e-7)),
            "eigen-cam": Method(conventions.eigen_cam_centred),
            "eigen-grad-cam": Method(conventions_asking.eigen_grad_cam_centred, (WEIGHTS,), asks=(HeadGradients,)),
            "kpca-cam": Method(conventions.kpca_cam_centred, METHODS["kpca-cam"].parameter_documentation),
            "fem": Method(conventions.fem_by_share),
            "score-cam": Method(conventions_asking.score_cam_of_scores, asks=(Scores,)),
            "finer-cam": Method(conventions_asking.finer_cam_of_softmax, asks=(HeadGradients,)),
        },
    ),
    "torchcam": Profile(
        "torchcam: the last layer that is a map; rectified, min-max with 1e-8, as large as the layer.",
        layer=LAST_MAP,
        rendering=Rendering("layer", (RELU, NORMALIZE, RESIZE), 1e-8, "cubic-within"),
        renderings={"cam": Rendering("layer", (NORMALIZE, RESIZE), 1e-8, "cubic-within")},
        methods={
            "grad-cam++": Method(conventions.grad_cam_plus_plus_of_cubes),
            "xgrad-cam": Method(conventions.xgrad_cam_with(1e-8)),
            "score-cam": Method(conventions_asking.score_cam_of_coarse_masks, asks=(Scores,)),
        },
        fusion="max",
    ),
    "captum": Profile(
        "captum: the signed map as large as the layer, enlarged to the nearest; gradients channel by channel.",
        explains=OUTPUT,
        rendering=Rendering(interpolation="nearest"),
        methods={
            "saliency": Method(conventions.saliency_by_channel, at=IMAGE),
            "gradient-x-input": Method(conventions.gradient_x_input_by_channel, at=IMAGE),
            "guided-backprop": Method(conventions.gradient_by_channel, at=IMAGE, rules="guided"),
            "deconvnet": Method(conventions.gradient_by_channel, at=IMAGE, rules="deconvnet"),
            "guided-grad-cam": Method(conventions_asking.guided_grad_cam_by_channel, asks=(Gradients, HeadGradients)),
        },
    ),
    "tf-keras-vis": Profile(
        "tf-keras-vis: the last convolution; rectified, resized to the input (corners aligned), min-max with 1e-7.",
        layer=LAST_CONVOLUTION,
        explains=OUTPUT,
        rendering=Rendering("input", (RELU, RESIZE, NORMALIZE), 1e-7, "corners"),
        renderings={"saliency": Rendering("input", (RESIZE, NORMALIZE), 1e-7)},
        methods={"grad-cam++": Method(conventions.grad_cam_plus_plus_of_shares)},
    ),
    "openvino": Profile(
        "OpenVINO XAI: the last map with more channels than rows and columns; min-max with 1e-12, in 256 steps.",
        layer=LAST_DEEP,
        rendering=Rendering("input", (NORMALIZE, RESIZE), 1e-12, dtype=UINT8),
    ),
    "lcam": Profile(
        "The L-CAM paper's evaluation: the probability; min-max of the signed map, resized to the input (bilinear).",
        explains=PROBABILITY,
        rendering=Rendering("input", (NORMALIZE, RESIZE)),
        methods={"grad-cam++": Method(conventions.grad_cam_plus_plus_by_place)},
    ),
    "keras-tutorial": Profile(
        "The Keras tutorials on Grad-CAM: the model's output at the last convolution; sums of gradients, 256 steps.",
        layer=LAST_CONVOLUTION,
        explains=OUTPUT,
        rendering=Rendering("input", (RELU, NORMALIZE, RESIZE), dtype=UINT8),
        methods={"grad-cam": Method(conventions.grad_cam_of_sums)},
    ),
}
