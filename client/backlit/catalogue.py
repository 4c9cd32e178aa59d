"""The methods a server offers, the measures and the profiles, as rows."""

from dataclasses import dataclass

from google.protobuf.json_format import MessageToDict

from backlit.words import word
from backlit_proto import backlit_pb2 as pb


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method, as its own signature tells it."""

    name: str
    type: str
    default: object
    documentation: str


@dataclass(frozen=True)
class Method:
    """A method; `available` is None unless a model was asked about, `why_not` says what to use instead.

    One of `many_passes` sends partial results on the way.
    """

    name: str
    summary: str
    documentation: str
    parameters: tuple[Parameter, ...]
    needs_gradients: bool
    many_passes: bool
    available: bool | None
    why_not: str


@dataclass(frozen=True)
class Measure:
    """What can be measured of a heatmap; `better` says which values are: "higher" or "lower"."""

    name: str
    summary: str
    documentation: str
    parameters: tuple[Parameter, ...]
    better: str


@dataclass(frozen=True)
class Profile:
    """The conventions of one library: where it looks if no layer is named, what it explains, how it finishes maps.

    `deviations` says by method what is not computed as in the method's paper.
    """

    name: str
    summary: str
    layer: str
    explains: str
    steps: tuple[str, ...]
    deviations: dict[str, str]


def read_profiles(message: pb.ListMethodsResponse) -> list[Profile]:
    """From the wire, in the server's order."""
    return [
        Profile(p.name, p.summary, p.layer, p.explains, tuple(p.steps), dict(sorted(p.deviations.items())))
        for p in message.profiles
    ]


def read_measures(message: pb.ListMethodsResponse) -> list[Measure]:
    """From the wire, in the server's order."""
    return [
        Measure(
            name=m.name,
            summary=m.summary,
            documentation=m.documentation,
            parameters=tuple(_parameter(p) for p in m.parameters),
            better=word(pb.Measure.Better, m.better).lower(),
        )
        for m in message.measures
    ]


def read_methods(message: pb.ListMethodsResponse) -> list[Method]:
    """From the wire, in the server's order."""
    return [
        Method(
            name=m.name,
            summary=m.summary,
            documentation=m.documentation,
            parameters=tuple(_parameter(p) for p in m.parameters),
            needs_gradients=m.needs_gradients,
            many_passes=m.many_passes,
            available=m.support.available if m.HasField("support") else None,
            why_not=m.support.why_not,
        )
        for m in message.methods
    ]


def _parameter(message: pb.Parameter) -> Parameter:
    default: object = MessageToDict(message.default) if message.HasField("default") else None
    if isinstance(default, float) and message.type == "int":  # JSON knows one kind of number
        default = int(default)
    return Parameter(message.name, message.type, default, message.documentation)
