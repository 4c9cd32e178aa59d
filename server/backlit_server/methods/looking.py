"""Looking inside: what the model computed, without asking why."""

from typing import Any

from backlit_proto.errors import BadQuestion


def score(scores: Any) -> Any:
    """The scores themselves, by a plain forward pass: one value a class, before a final softmax or sigmoid.

    The answer's heatmap holds all of them, shaped (classes, 1, 1).
    """
    return scores.reshape(len(scores), -1, 1, 1)


def embedding(features: Any) -> Any:
    """The image as one vector: the mean over all places of what the last layer reads, or of a layer that is named.

    The answer's heatmap holds one value a channel, shaped (channels, 1, 1).
    """
    return features.mean((2, 3), keepdims=True)


def feature_maps(features: Any, *, channels: tuple[int, ...] = ()) -> Any:
    """The values of a layer: one map a channel.

    Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014.
    """
    count = features.shape[1]
    wrong = [channel for channel in channels if not 0 <= channel < count]
    if wrong:
        raise BadQuestion(f"feature-maps: there is no channel {wrong[0]}; this layer has the channels 0 to {count - 1}")
    return features[:, list(channels)] if channels else features
