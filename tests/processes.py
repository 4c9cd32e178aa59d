"""backlit-server as a process of its own, for tests that start and stop it."""

import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from stand_ins import SECONDS

Health = health_pb2.HealthCheckResponse
SERVICES = ("", "backlit.v1.ModelService", "backlit.v1.ExplanationService")
MODEL = b"a model"

# backlit-server with the pool and the admission of stand_ins.py: what is tested here needs no models.
# Files in the folder GATES let it go on: "ready" the start of the workers, "go" a question of method "gated".
STAND_IN = """
    import asyncio, os, sys
    from pathlib import Path
    sys.path.insert(0, os.environ["TESTS"])
    from stand_ins import FakeAdmission, FakeDevice, FakePool
    from backlit_server.__main__ import main

    async def passed(gate):
        while not (Path(os.environ["GATES"]) / gate).exists():
            await asyncio.sleep(0.01)

    class Pool(FakePool):
        def __init__(self, settings):
            super().__init__(devices=[FakeDevice(ready=False)])

        async def start(self):
            print("telemetry off:", os.environ["ORT_DISABLE_TELEMETRY"], file=sys.stderr)
            await passed("ready")
            self.devices = [FakeDevice()]

        async def explain(self, request, terms, hear):
            async for answer in super().explain(request, terms, hear):
                yield answer
                if request.question.method == "gated":
                    await passed("go")

    from backlit_server.service import command
    command.Pool, command.Launcher = Pool, FakeAdmission
    sys.exit(main())
"""


@dataclass
class Server:
    """A server process, and where its log goes."""

    process: subprocess.Popen[str]
    log: Path
    gates: Path

    def address(self) -> str:
        """Where it listens, once it says so."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = re.fullmatch(r"backlit-server listening on (\S+)\n", line)
        assert found, (line, self.log.read_text())
        return found[1]

    def open(self, gate: str) -> None:
        (self.gates / gate).touch()

    def stopped(self) -> int:
        """Its exit status, after its end."""
        return self.process.wait(SECONDS)


@contextmanager
def server(folder: Path, *flags: str, ready: bool = True) -> Iterator[Server]:
    environment = os.environ | {"TESTS": str(Path(__file__).parent), "GATES": str(folder)}
    command = [sys.executable, "-c", textwrap.dedent(STAND_IN), "--port", "0", "--store", str(folder / "store"), *flags]
    log = folder / "log"
    with log.open("w") as err:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True
        )
    with process:
        started = Server(process, log, folder)
        if ready:
            started.open("ready")
        try:
            yield started
        finally:
            process.kill()


def run(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """backlit-server itself, for commands that end by themselves."""
    return subprocess.run(
        [sys.executable, "-m", "backlit_server", *flags],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def models(channel: grpc.aio.Channel) -> services.ModelServiceStub:
    return services.ModelServiceStub(channel)


async def list_models(channel: grpc.aio.Channel) -> pb.ListResponse:
    return await models(channel).List(pb.ListRequest(), timeout=SECONDS)


def health_stub(channel: grpc.aio.Channel) -> Any:  # Any: the package does not declare its methods
    return health_pb2_grpc.HealthStub(channel)


def reflection_stub(channel: Any) -> Any:  # Any: declared for the synchronous channel only
    return reflection_pb2_grpc.ServerReflectionStub(channel)


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return (await health_stub(channel).Check(request, timeout=SECONDS, wait_for_ready=True)).status
