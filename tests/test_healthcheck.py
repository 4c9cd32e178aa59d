"""The health client of the image's HEALTHCHECK, against gRPC's own health service."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a health server that says `status`, and gives its port."""
    server = grpc.server(futures.ThreadPoolExecutor(1))

    def start(status: HealthCheckResponse.ServingStatus, credentials: grpc.ServerCredentials | None = None) -> int:
        servicer = health.HealthServicer()
        servicer.set("", status)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        address = "127.0.0.1:0"
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        return port

    yield start
    server.stop(0).wait()


def probe(port: int, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backlit_server.healthcheck", "--port", str(port), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_server_that_serves_is_healthy_also_when_it_listens_everywhere(serve: Serve):
    port = serve(SERVING)
    assert probe(port).returncode == 0
    assert probe(port, "--host", "0.0.0.0").returncode == 0


def test_a_server_that_is_stopping_is_not_healthy(serve: Serve):
    answer = probe(serve(NOT_SERVING))
    assert (answer.returncode, answer.stderr) == (1, "not serving: NOT_SERVING\n")


def test_no_server_is_not_healthy():
    answer = probe(1)
    assert answer.returncode == 1
    assert answer.stderr.startswith("not serving: ")
    assert "Traceback" not in answer.stderr


def test_wrong_settings_are_not_healthy():
    answer = probe(1, "--threads", "many")
    assert (answer.returncode, answer.stderr) == (1, "not serving: --threads: 'many' is not a whole number\n")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server certificate for names that are not the loopback address."""
    if not shutil.which("openssl"):
        pytest.skip("NOT CHECKED: no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=DNS:*.example.org,DNS:maps")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=maps",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("clients_too", [False, True], ids=["TLS", "mTLS"])
def test_a_server_under_tls_is_asked_under_tls(serve: Serve, certificates: Path, clients_too: bool):
    key, cert, ca = ((certificates / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem"))
    port = serve(SERVING, grpc.ssl_server_credentials([(key, cert)], ca if clients_too else None, clients_too))
    flags = [f"--tls-cert={certificates / 'server.pem'}", f"--tls-key={certificates / 'server.key'}"]
    answer = probe(port, *flags, *([f"--tls-client-ca={certificates / 'ca.pem'}"] if clients_too else []))
    assert answer.returncode == 0, answer.stderr
