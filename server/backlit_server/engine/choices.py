"""What a profile chooses where a question does not: what is explained, and the layer that is looked at."""

from collections.abc import Callable, Mapping

from backlit_proto.errors import NotExplainable
from backlit_server.engine.models import OpenModel
from backlit_server.engine.questions import Wording
from backlit_server.graph import Anatomy, Layer
from backlit_server.methods.method import LAYER
from backlit_server.methods.profiles import (
    DEFAULT_LAYER,
    LAST_CONVOLUTION,
    LAST_DEEP,
    LAST_MAP,
    OUTPUT,
    PROBABILITY,
    PROFILES,
)

CONVOLUTIONS = ("Conv", "ConvTranspose", "DeformConv")


def explaining(model: OpenModel, wording: Wording) -> OpenModel:
    """The model with what is explained as its scores: the file's own output is a probability where it ends in one."""
    if wording.row.of == LAYER:
        return model.neurons(wording.layer or wording.scores)
    asked = model.explaining(wording.scores)
    about = asked.anatomy.scores
    if wording.scale != OUTPUT:
        return asked.explaining("", wording.scale)
    if about.activation == "LogSoftmax":
        return asked.explaining(about.activated)
    return asked.explaining("", PROBABILITY if about.activation else "")


def chosen_layer(wording: Wording, anatomy: Anatomy) -> str:
    """The tensor or node to look at, "" for the card's default; NotExplainable where the profile's kind is missing."""
    kind = PROFILES[wording.profile].layer
    if wording.layer or kind == DEFAULT_LAYER or wording.row.at != LAYER:
        return wording.layer
    fitting = [layer.name for layer in anatomy.layers if LAYER_CHOICES[kind](layer)]
    if not fitting:
        raise NotExplainable(
            f"by the profile {wording.profile} the {kind} is looked at, and this model has none: name a layer"
        )
    return fitting[-1]


def _several_places(layer: Layer) -> bool:
    return layer.view.size != (1, 1)


def _deep(layer: Layer) -> bool:
    """More channels than rows and than columns, and of both more than one. A size that the file leaves open is -1."""
    channels = layer.view.channels(layer.shape)
    return all(1 < side < channels for side in layer.view.size)


LAYER_CHOICES: Mapping[str, Callable[[Layer], bool]] = {
    LAST_MAP: _several_places,
    LAST_CONVOLUTION: lambda layer: _several_places(layer) and layer.operator in CONVOLUTIONS,
    LAST_DEEP: _deep,
}
