"""What the service asks of the rooms beside it, so that it can be tested without them."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from backlit_proto import backlit_pb2 as pb
from backlit_server.execution import Execution
from backlit_server.settings import Settings
from backlit_server.story import Hear
from backlit_server.workers.figures import Figure
from backlit_server.workers.terms import Terms


class Device(Protocol):
    """One worker's device; `provider` is the execution provider really in use, `note` says what is amiss."""

    @property
    def name(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def ready(self) -> bool: ...
    @property
    def starts(self) -> int: ...
    @property
    def note(self) -> str: ...
    @property
    def execution(self) -> Execution: ...


class Pool(Protocol):
    """The workers. Closing the generator of explain() stops the work; `hear` is told of it in the end.

    figures() tells by device what its worker says of itself.
    """

    @property
    def devices(self) -> Sequence[Device]: ...
    async def start(self) -> None: ...
    async def stop(self, grace: float) -> None: ...
    def explain(
        self, request: pb.ExplainRequest, terms: Terms, hear: Hear
    ) -> AsyncGenerator[pb.ExplainResponse, None]: ...
    def forget(self, digest: str) -> None: ...
    async def figures(self) -> Iterable[tuple[str, Iterable[Figure]]]: ...


class Admission(Protocol):
    """Examines, rewrites and reads model files in a process of its own."""

    async def examine(self, model: Path, settings: Settings) -> pb.Card: ...
    async def export(self, model: Path, out: Path, asked: pb.ExportRequest, settings: Settings) -> None: ...
    async def list_weights(self, model: Path, settings: Settings) -> pb.ListWeightsResponse: ...
    async def weights(self, model: Path, out: Path, layer: str, settings: Settings) -> pb.Weights: ...
