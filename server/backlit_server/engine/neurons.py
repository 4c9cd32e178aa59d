"""Targets among the neurons of any tensor: a channel's mean, over all its places or a mask of them."""

import numpy as np

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.targets import Row
from backlit_server.engine.views import View
from backlit_server.engine.wanted import Masked


def channel(index: int, view: View) -> Row:
    """The mean of a channel; of a vector an element."""
    places = _channels(view)
    if not 0 <= index < len(places):
        raise BadQuestion(f"there is no channel {index}; {view.about.name!r} has 0 to {len(places) - 1}")
    count = places.shape[1]
    said = f"the mean of channel {index} of {view.about.name!r}"
    return view.row(places[index], np.full(count, 1 / count), said=said)


def most_active(count: int, view: View) -> list[Row]:
    """The channels whose means are largest."""
    places = _channels(view)
    if count > len(places):
        raise BadQuestion(f"the top {count} channels of {view.about.name!r}, which has {len(places)}")
    means = view.scores.reshape(-1)[places].mean(1)
    return [channel(int(index), view) for index in np.argsort(-means, kind="stable")[:count]]


def masked(wanted: Masked, view: View) -> Row:
    """A channel over a mask (height, width): the mean, weighted by it, or the sum."""
    axes, shape = view.about.task.axes, view.scores.shape
    if wanted.weights is None or wanted.class_index is None:
        raise BadQuestion(f"a mask over {view.about.name!r} tells its channel, and the weights of the places")
    size = tuple(n for axis, n in zip(axes, shape, strict=False) if axis != "C")
    if wanted.weights.shape != size or not wanted.weights.any():
        raise BadQuestion(
            f"a mask over {view.about.name!r} is {size} and not zero everywhere, not {wanted.weights.shape}"
        )
    whole = channel(wanted.class_index, view)
    weights = wanted.weights.reshape(-1).astype(np.float64)
    values = weights if wanted.total else weights / weights.sum()
    said = whole.said.replace("the mean", "the sum" if wanted.total else "the mean") + " over a mask"
    return view.row(whole.places, values, said=said)


def _channels(view: View) -> np.ndarray:
    """Where the elements of each channel lie among all: (channels, places)."""
    axes, shape = view.about.task.axes, view.scores.shape
    if len(axes) != len(shape) or "C" not in axes:
        raise NotExplainable(
            f"it is not known which axis of {view.about.name!r} {shape} holds channels: "
            "ask for an element of it, or send a seed of its shape"
        )
    places = np.moveaxis(np.arange(view.scores.size).reshape(shape), axes.index("C"), 0)
    return places.reshape(len(places), -1)
