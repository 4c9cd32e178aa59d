"""What questions run on, and how it computes."""

from dataclasses import dataclass
from typing import Self

from backlit.words import word
from backlit_proto import backlit_pb2 as pb


@dataclass(frozen=True)
class Drift:
    """How far half precision led from single precision, on so many made-up images, where the model was opened.

    `scores`: the largest difference as a share of the largest score. `maps`: the smallest correlation of a map of the
    default method at the default layer with its twin; None where there is no such layer.
    """

    scores: float
    maps: float | None
    images: int


@dataclass(frozen=True)
class Execution:
    """How sessions compute: `precision` ("single" or "half") is that of forward passes up to a layer.

    With `tf32` a GPU may round factors to 10 bits; `deterministic` asks for results that are the same to the last bit,
    as far as the device has them; `convolution_search` says how a GPU's algorithms are chosen, "" on a CPU. `drift` is
    told of answers in half precision.
    """

    precision: str
    tf32: bool
    deterministic: bool
    convolution_search: str
    drift: Drift | None = None

    @classmethod
    def read(cls, message: pb.Execution) -> Self:
        drift = message.drift
        maps = drift.maps if drift.HasField("maps") else None
        return cls(
            precision=word(pb.Precision, message.precision).lower(),
            tf32=message.tf32,
            deterministic=message.deterministic,
            convolution_search=message.convolution_search,
            drift=Drift(drift.scores, maps, drift.images) if message.HasField("drift") else None,
        )


@dataclass(frozen=True)
class Device:
    """One worker and what it runs on; a question goes to the one that is least busy. `note` says what is amiss."""

    name: str
    execution_provider: str
    ready: bool
    note: str
    execution: Execution


def read_devices(message: pb.ListDevicesResponse) -> list[Device]:
    return [
        Device(one.name, one.execution_provider, one.ready, one.note, Execution.read(one.execution))
        for one in message.devices
    ]
