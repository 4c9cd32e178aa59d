"""The client, blocking, for scripts and notebooks. Its asyncio twin is `backlit.aio`."""

import contextlib
from collections.abc import Iterable
from os import PathLike
from types import TracebackType
from typing import BinaryIO, Self

from backlit import flows
from backlit.catalogue import Measure, Method, Profile, read_measures, read_methods, read_profiles
from backlit.devices import Device
from backlit.endpoint import Endpoint
from backlit.files import ModelFile
from backlit.flows import Progress
from backlit.metrics import Metric
from backlit.model import Model
from backlit.models import StoredModel, facts, name_of
from backlit.preprocessing import Declared, Preprocessing
from backlit.private import private_server
from backlit.wire import Wire, open_channel
from backlit_proto import backlit_pb2 as pb


def connect(
    address: str | None = None,
    *,
    token: str | None = None,
    tls: bool = False,
    ca: str | PathLike[str] | None = None,
    cert: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    timeout: float | None = None,
) -> "Server":
    """A connection to the server at "host:port"; without an address, to a private one that lives as long as it.

        backlit.connect("localhost:50051")
        backlit.connect("maps.example.org:443", tls=True, token="...")
        backlit.connect("maps.example.org:443", ca="ca.pem", cert="me.pem", key="me.key")
        backlit.connect()                                         # needs the server extra

    `ca`, `cert` and `key` are PEM files and imply TLS. `timeout` (seconds) is the deadline of calls that give none.
    """
    with contextlib.ExitStack() as resources:
        if address is None:
            address = resources.enter_context(private_server())
        endpoint = Endpoint(address, token, tls, ca, cert, key, timeout)
        channel = resources.enter_context(open_channel(endpoint))
        return Server(Wire(endpoint, channel), resources.pop_all())


class Server:
    """A connection to a backlit server; close it, or use it as a context manager. `timeout` is seconds a call."""

    def __init__(self, wire: Wire, resources: contextlib.ExitStack) -> None:
        self._wire = wire
        self._resources = resources

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<backlit server at {self._wire.address}>"

    @property
    def address(self) -> str:
        """Host and port."""
        return self._wire.address

    def close(self) -> None:
        """Ends the connection, and the private server if there is one."""
        self._resources.close()

    def upload(
        self,
        source: str | PathLike[str] | bytes | BinaryIO,
        *,
        name: str = "",
        preprocessing: Declared | None = None,
        class_names: Iterable[str] = (),
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Model:
        """Stores an .onnx file and has it examined; bytes the server already knows are not sent again.

        `progress(done, total)` is called with bytes, from another thread. A broken connection is taken up again.
        """
        file = ModelFile.of(source)
        header = flows.upload_header(file, name, preprocessing, class_names)
        return self._model(self._wire.run(flows.upload(file, header, progress), timeout))

    def model(self, name: str, *, timeout: float | None = None) -> Model:
        """A stored model, by name, digest, or the first 8 or more digits of its digest."""
        return self._model(self._wire.run(flows.get(name), timeout))

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """All stored models, newest first; their class names are told by `model(name)` only."""
        return [self._model(message) for message in self._wire.run(flows.list_models(), timeout)]

    def methods(self, model: StoredModel | str | None = None, *, timeout: float | None = None) -> list[Method]:
        """The methods; with a model, whether it can answer each and why not."""
        return read_methods(self._wire.run(flows.list_methods(name_of(model or "")), timeout))

    def measures(self, *, timeout: float | None = None) -> list[Measure]:
        """What can be measured of a heatmap."""
        return read_measures(self._wire.run(flows.list_methods(""), timeout))

    def profiles(self, *, timeout: float | None = None) -> list[Profile]:
        """The profiles: whose conventions a question can follow."""
        return read_profiles(self._wire.run(flows.list_methods(""), timeout))

    def presets(self, *, timeout: float | None = None) -> list[Preprocessing]:
        """The preprocessing presets, spelled out."""
        return [Preprocessing.read(message) for message in self._wire.run(flows.list_methods(""), timeout).presets]

    def metrics(self, *, timeout: float | None = None) -> dict[str, Metric]:
        """What the server counts, by the names that Prometheus knows: calls, questions, seconds, memory."""
        return self._wire.run(flows.get_metrics(), timeout)

    def devices(self, *, timeout: float | None = None) -> list[Device]:
        """The devices that questions run on, a worker each, and what is amiss with them."""
        return self._wire.run(flows.list_devices(), timeout)

    def delete(self, model: StoredModel | str, *, timeout: float | None = None) -> None:
        """Forgets a model; questions in flight are still answered."""
        self._wire.run(flows.delete(name_of(model)), timeout)

    def _model(self, message: pb.Model) -> Model:
        return Model(**facts(message), wire=self._wire)
