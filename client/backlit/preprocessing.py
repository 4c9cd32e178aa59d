"""How a picture becomes a model's input, as declared at upload, in a question, or told in an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from backlit.words import full_name, word
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion


@dataclass(frozen=True)
class Preprocessing:
    """input = (pixel - mean) / std, pixels from 0 to 255; fields left empty are the preset's.

    `mean` and `std` hold one value a channel, or one for all. `color` is "rgb", "bgr" or "grey"; `fit` is "crop"
    (shorter side resized, centre cut out, `crop` is the share that is kept), "stretch" or "pad"; `interpolation` is
    "bilinear", "bicubic" or "nearest". `height` and `width` are 0 where the model's input says them. `computed_by` is
    "pillow" or "graph"; left empty, it is what suits the server's device.
    """

    preset: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    color: str = ""
    fit: str = ""
    height: int = 0
    width: int = 0
    crop: float = 0.0
    interpolation: str = ""
    computed_by: str = ""

    @classmethod
    def of(cls, given: "Declared") -> "Preprocessing":
        """What was given: a preset's name, a dict of fields, or already a Preprocessing."""
        if isinstance(given, Preprocessing):
            return given
        if isinstance(given, str):
            return cls(preset=given)
        if not isinstance(given, Mapping):
            raise BadQuestion(f"preprocessing is a preset's name or a dict, not {type(given).__name__}")
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(map(str, given)) - set(known)):
            raise BadQuestion(f"preprocessing has no {', '.join(unknown)}; it has {', '.join(known)}")
        return cls(**{str(name): _tidy(name, field) for name, field in given.items()})

    @classmethod
    def read(cls, message: pb.Preprocessing) -> "Preprocessing":
        """From the wire."""
        return cls(
            preset=message.preset,
            mean=tuple(message.mean),
            std=tuple(message.std),
            color=word(pb.Preprocessing.Color, message.color).lower(),
            fit=word(pb.Preprocessing.Fit, message.fit).lower(),
            height=message.height,
            width=message.width,
            crop=message.crop,
            interpolation=word(pb.Preprocessing.Interpolation, message.interpolation).lower(),
            computed_by=word(pb.Preprocessing.ComputedBy, message.computed_by).lower(),
        )

    def message(self) -> pb.Preprocessing:
        """For the wire; BadQuestion for a word or number that cannot be."""
        try:
            return pb.Preprocessing(
                preset=self.preset,
                mean=self.mean,
                std=self.std,
                color=full_name(pb.Preprocessing.Color, self.color, "color"),
                fit=full_name(pb.Preprocessing.Fit, self.fit, "fit"),
                height=self.height,
                width=self.width,
                crop=self.crop,
                interpolation=full_name(pb.Preprocessing.Interpolation, self.interpolation, "interpolation"),
                computed_by=full_name(pb.Preprocessing.ComputedBy, self.computed_by, "computed_by"),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise BadQuestion(f"the preprocessing ({self}) cannot be sent: {error}") from None

    def __str__(self) -> str:
        said = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}
        return ", ".join(f"{name} {_text(said[name])}" for name in said) or "none"


Declared = Preprocessing | str | Mapping[str, object]  # a preset's name, or a dict of fields


def declared(given: Declared | None) -> pb.Preprocessing | None:
    """For the wire, where something was declared."""
    return None if given is None else Preprocessing.of(given).message()


def _tidy(name: object, given: Any) -> Any:  # what fits no field is refused when the message is built
    """One number for all channels may be written without a list."""
    if name not in ("mean", "std"):
        return given
    return (given,) if isinstance(given, int | float) else tuple(given)


def _text(value: object) -> str:
    return "/".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)
