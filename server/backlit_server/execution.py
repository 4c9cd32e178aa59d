"""How sessions are to compute: the part of the settings that workers hand on to their engines."""

from dataclasses import dataclass, fields, replace
from typing import Self

from backlit_proto import backlit_pb2 as pb
from backlit_server.limits import most

MB = 1 << 20
SINGLE, HALF = "single", "half"
HEURISTIC, EXHAUSTIVE, DEFAULT = "heuristic", "exhaustive", "default"


def most_of_memory() -> int:
    """Three quarters of the memory of this machine or container, in megabytes."""
    return most() // MB


@dataclass(frozen=True)
class Execution:
    """How sessions compute. By default a GPU's answers are as close to a CPU's as it can make them.

    `precision` is that of forward passes up to a layer, `tf32` lets a GPU round the factors of matrix products and
    convolutions to 10 bits, `deterministic` asks for algorithms whose result is the same to the last bit,
    `convolution_search` says how cuDNN chooses one: "heuristic", "exhaustive", which tries them at each new shape
    (measured elsewhere at 0.6 s a shape against 2 ms, PaddleX#5057), or "default", one algorithm whatever the shape.
    `cpu_memory_mb` bounds what all runs of a worker take of the host, with the weights that its sessions do not share,
    and `gpu_memory_mb` what they take of a GPU, without the weights of open sessions; 0: not. `max_picture_megapixels`
    bounds what is decoded.
    """

    precision: str = SINGLE
    tf32: bool = False
    deterministic: bool = False
    convolution_search: str = HEURISTIC
    cpu_memory_mb: int = 0
    gpu_memory_mb: int = 0
    max_picture_megapixels: int = 50

    @property
    def search(self) -> str:
        """The search that is made: what is to be the same each time cannot depend on what seemed quickest."""
        return DEFAULT if self.deterministic else self.convolution_search

    @classmethod
    def of(cls, settings: object) -> Self:
        """What settings say of it."""
        return cls(**{named.name: getattr(settings, named.name) for named in fields(cls)})

    def shared_by(self, workers: int) -> Self:
        """What each of so many workers may take of the host."""
        return replace(self, cpu_memory_mb=-(-self.cpu_memory_mb // workers))


@dataclass(frozen=True)
class Drift:
    """How far half precision led from single precision on so many made-up images.

    `scores`: the largest difference as a share of the largest score. `maps`: the smallest correlation of a map of the
    default method at the default layer with its twin, None where there is no such layer.
    """

    scores: float
    maps: float | None
    images: int


@dataclass(frozen=True)
class Computed:
    """What an answer was computed by; `drift` where it was in half precision."""

    device: str
    provider: str
    execution: Execution
    drift: Drift | None = None

    def at(self, precision: str, drift: Drift | None) -> "Computed":
        """The same, but for one question."""
        if precision == self.execution.precision and drift == self.drift:
            return self
        return replace(self, execution=replace(self.execution, precision=precision), drift=drift)

    def message(self) -> pb.Execution:
        """As it is told, as far as it means anything to the provider."""
        on_cuda, how = "CUDA" in self.provider, self.execution
        drift = self.drift
        return pb.Execution(
            precision=PRECISIONS[how.precision],
            tf32=how.tf32 and on_cuda,
            deterministic=how.deterministic,
            convolution_search=how.search if on_cuda else "",
            drift=drift and pb.Drift(scores=drift.scores, maps=drift.maps, images=drift.images),
        )


PRECISIONS = {SINGLE: pb.PRECISION_SINGLE, HALF: pb.PRECISION_HALF}


class DeviceLost(BaseException):
    """The device does not compute any more, and will not in this process.

    No Exception, because nothing can go on after it: the worker ends, and its supervisor starts another.
    """
