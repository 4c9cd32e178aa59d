"""What a preprocessing says, read for one model's input."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.graph import ImageInput, PictureRecipe
from backlit_server.graph.pictures import CHANNELS
from backlit_server.methods.presets import ASSUMED, check_preprocessing, preset

PILLOW, GRAPH = "PILLOW", "GRAPH"
USUAL: Mapping[str, str] = {"cpu": PILLOW, "cuda": GRAPH}
"""Who prepares pictures where nobody says it, by the kind of device."""


def recipe(declared: pb.Preprocessing | None, expected: ImageInput, computed_by: str = PILLOW) -> PictureRecipe:
    """The declared preprocessing (or the assumed one) for this input; set fields override the preset.

    `computed_by` is who prepares the picture unless the preprocessing says it.
    """
    declared = declared or pb.Preprocessing()
    check_preprocessing(declared)
    base = preset(declared.preset or (ASSUMED if not (declared.mean or declared.std) else "raw"))
    color = _chosen("color", declared) or ("GREY" if expected.channels == 1 else base.color)
    height, width = declared.height or expected.height, declared.width or expected.width
    if not (height and width):
        raise BadQuestion(
            "the model's input has no fixed height and width: give them in the preprocessing, or send a float array"
        )
    _check_fits(height, width, color, expected)
    return PictureRecipe(
        preset=declared.preset or (ASSUMED if base is preset(ASSUMED) else ""),
        mean=_per_channel("mean", declared.mean or base.mean, color),
        std=_per_channel("std", declared.std or base.std, color),
        color=color,
        fit=_chosen("fit", declared) or base.fit,
        crop=declared.crop or base.crop,
        interpolation=_chosen("interpolation", declared) or base.interpolation,
        height=height,
        width=width,
        computed_by=_chosen("computed_by", declared) or computed_by,
    )


def _check_fits(height: int, width: int, color: str, expected: ImageInput) -> None:
    """BadQuestion for a preprocessing whose result is no input of this model."""
    channels = CHANNELS[color]
    if expected.channels not in (0, channels):
        raise BadQuestion(
            f"the model's input has {expected.channels} channels, pictures have {channels} in {color}: "
            "send a float array, or another color in the preprocessing"
        )
    if expected.height not in (0, height) or expected.width not in (0, width):
        raise BadQuestion(
            f"the model's input is {expected.height or '?'} x {expected.width or '?'}, the preprocessing makes "
            f"{height} x {width}: leave its size out"
        )


def _chosen(field: str, declared: pb.Preprocessing) -> str:
    """The word for a field's value, "" where it is unset."""
    value, prefix = getattr(declared, field), f"{field.upper()}_"
    return ENUMS[field].Name(value).removeprefix(prefix) if value else ""


ENUMS: Mapping[str, Any] = {  # protobuf gives them no type of their own
    "color": pb.Preprocessing.Color,
    "fit": pb.Preprocessing.Fit,
    "interpolation": pb.Preprocessing.Interpolation,
    "computed_by": pb.Preprocessing.ComputedBy,
}


def _per_channel(name: str, values: Sequence[float], color: str) -> tuple[float, ...]:
    channels = CHANNELS[color]
    if len(values) in (1, channels):
        return tuple(values)
    if channels == 1:
        return (float(np.mean(values)),)
    raise BadQuestion(f"the preprocessing's {name} has {len(values)} values; give 1, or {channels} for {color}")


def black(by: PictureRecipe, expected: ImageInput) -> np.ndarray:
    """What the model takes where a picture is black: (channels, 1, 1)."""
    mean, std = np.array(by.mean, np.float32), np.array(by.std, np.float32)
    pixel = 0 * mean if np.issubdtype(expected.dtype, np.integer) else -mean / std
    return np.broadcast_to(pixel, (by.channels,)).reshape(-1, 1, 1)
