"""The client for asyncio; the docstrings are in the blocking twin, `backlit.Server`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from os import PathLike
from typing import BinaryIO

from backlit import flows
from backlit.aio.model import Model
from backlit.aio.wire import Wire, open_channel
from backlit.catalogue import Measure, Method, Profile, read_measures, read_methods, read_profiles
from backlit.devices import Device
from backlit.endpoint import Endpoint
from backlit.files import ModelFile
from backlit.flows import Progress
from backlit.metrics import Metric
from backlit.models import StoredModel, facts, name_of
from backlit.preprocessing import Declared, Preprocessing
from backlit.private import private_server
from backlit_proto import backlit_pb2 as pb


@contextlib.asynccontextmanager
async def connect(
    address: str | None = None,
    *,
    token: str | None = None,
    tls: bool = False,
    ca: str | PathLike[str] | None = None,
    cert: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    timeout: float | None = None,
) -> AsyncIterator["Server"]:
    """A connection for an `async with`; the arguments are those of `backlit.connect`."""
    with contextlib.ExitStack() as private:
        try:
            if address is None:
                address = await asyncio.to_thread(private.enter_context, private_server())
            endpoint = Endpoint(address, token, tls, ca, cert, key, timeout)
            async with open_channel(endpoint) as channel:
                yield Server(Wire(endpoint, channel))
        finally:
            await asyncio.to_thread(private.close)


class Server:
    """A connection to a backlit server; `timeout` is seconds a call."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def __repr__(self) -> str:
        return f"<backlit server at {self.address}, asyncio>"

    @property
    def address(self) -> str:
        return self._wire.address

    async def upload(
        self,
        source: str | PathLike[str] | bytes | BinaryIO,
        *,
        name: str = "",
        preprocessing: Declared | None = None,
        class_names: Iterable[str] = (),
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Model:
        """Stores an .onnx file and has it examined; `progress(done, total)` is called with bytes, on the event loop."""
        file = await asyncio.to_thread(ModelFile.of, source)
        header = flows.upload_header(file, name, preprocessing, class_names)
        return self._model(await self._wire.run(flows.upload(file, header, progress), timeout))

    async def model(self, name: str, *, timeout: float | None = None) -> Model:
        """As `backlit.Server.model`."""
        return self._model(await self._wire.run(flows.get(name), timeout))

    async def models(self, *, timeout: float | None = None) -> list[Model]:
        """As `backlit.Server.models`."""
        return [self._model(message) for message in await self._wire.run(flows.list_models(), timeout)]

    async def methods(self, model: StoredModel | str | None = None, *, timeout: float | None = None) -> list[Method]:
        """As `backlit.Server.methods`."""
        return read_methods(await self._wire.run(flows.list_methods(name_of(model or "")), timeout))

    async def measures(self, *, timeout: float | None = None) -> list[Measure]:
        """As `backlit.Server.measures`."""
        return read_measures(await self._wire.run(flows.list_methods(""), timeout))

    async def profiles(self, *, timeout: float | None = None) -> list[Profile]:
        """As `backlit.Server.profiles`."""
        return read_profiles(await self._wire.run(flows.list_methods(""), timeout))

    async def presets(self, *, timeout: float | None = None) -> list[Preprocessing]:
        """As `backlit.Server.presets`."""
        answer = await self._wire.run(flows.list_methods(""), timeout)
        return [Preprocessing.read(message) for message in answer.presets]

    async def metrics(self, *, timeout: float | None = None) -> dict[str, Metric]:
        return await self._wire.run(flows.get_metrics(), timeout)

    async def devices(self, *, timeout: float | None = None) -> list[Device]:
        """As `backlit.Server.devices`."""
        return await self._wire.run(flows.list_devices(), timeout)

    async def delete(self, model: StoredModel | str, *, timeout: float | None = None) -> None:
        """As `backlit.Server.delete`."""
        await self._wire.run(flows.delete(name_of(model)), timeout)

    def _model(self, message: pb.Model) -> Model:
        return Model(**facts(message), wire=self._wire)
