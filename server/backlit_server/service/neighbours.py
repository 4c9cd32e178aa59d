"""What the service asks of the rooms beside it, so that it can be tested without them."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Protocol

from backlit_proto import backlit_pb2 as pb
from backlit_server.settings import Settings


class Device(Protocol):
    """One worker's device; `provider` is the execution provider really in use."""

    @property
    def name(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def ready(self) -> bool: ...


class Pool(Protocol):
    """The workers. Closing the generator of explain() stops the work."""

    @property
    def devices(self) -> Sequence[Device]: ...
    async def start(self) -> None: ...
    async def stop(self, grace: float) -> None: ...
    def explain(self, request: pb.ExplainRequest) -> AsyncGenerator[pb.ExplainResponse, None]: ...
    def forget(self, digest: str) -> None: ...


class Admission(Protocol):
    """Examines and rewrites model files in a process of its own."""

    async def examine(self, model: Path, settings: Settings) -> pb.Card: ...
    async def export(self, model: Path, out: Path, asked: pb.ExportRequest, settings: Settings) -> None: ...
