"""What is measured of heatmaps: what to ask for, and what comes back.

model.explain("cat.jpg", measures=["deletion", ("average-drop", {"keep": 0.5, "fill": "black"})])

`server.measures()` lists the measures and their parameters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion

Asked = str | tuple[str, Mapping[str, object]]
"""A measure's name, or its name and its parameters."""


@dataclass(frozen=True)
class Measurement:
    """A number that says how good a heatmap is; it compares with others of the same parameters and choice of target.

    `facts` is what else was found, `curve` the course of measures that have one, `parameters` has defaults filled in,
    `target_choice` says how the target was chosen, such as "top 1". Where `unfinished`, the time limit was over before
    it was measured, and the value is NaN.
    """

    name: str
    value: float
    facts: dict[str, float]
    curve: tuple[float, ...]
    parameters: dict[str, object]
    target_choice: str
    unfinished: bool = False


def encode_measures(asked: Iterable[Asked]) -> list[pb.MeasureRequest]:
    """As they travel."""
    return [_request(*one) if isinstance(one, tuple) else _request(one, {}) for one in asked]


def read_measurement(message: pb.Measurement) -> Measurement:
    """From the wire."""
    return Measurement(
        name=message.name,
        value=message.value,
        facts=dict(message.facts),
        curve=tuple(message.curve),
        parameters=MessageToDict(message.parameters),
        target_choice=message.target_choice,
        unfinished=message.unfinished,
    )


def _request(name: object, parameters: Mapping[str, object]) -> pb.MeasureRequest:
    if not isinstance(name, str):
        raise BadQuestion(f"a measure is a name, or a pair of a name and its parameters; got {name!r}")
    struct, values = Struct(), dict[str, Any]()  # JSON
    values |= {key: list(value) if isinstance(value, tuple) else value for key, value in parameters.items()}
    struct.update(values)
    return pb.MeasureRequest(name=name, parameters=struct)
