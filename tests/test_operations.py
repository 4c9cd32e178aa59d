"""The server as whoever runs it sees it: start, stop, health, TLS, logs. A real process, real connections."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_server.service import transport
from backlit_server.settings import MB, BadSettings, Settings
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from test_service import SECONDS, collected, question, upload_parts

Health = health_pb2.HealthCheckResponse
SERVICES = ("", "backlit.v1.ModelService", "backlit.v1.ExplanationService")
MODEL = b"a model"

# backlit-server with the pool and the admission of test_service.py: what is tested here needs no models.
# Files in the folder GATES let it go on: "ready" the start of the workers, "go" a question of method "gated".
STAND_IN = """
    import asyncio, os, sys
    from pathlib import Path
    sys.path.insert(0, os.environ["TESTS"])
    from test_service import FakeAdmission, FakeDevice, FakePool
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

        async def explain(self, request):
            async for answer in super().explain(request):
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


# --------------------------------------------------------------- start, stop


def test_the_front_process_imports_neither_onnx_nor_onnxruntime_nor_pillow():
    script = """
        import sys
        from backlit_server.__main__ import main
        main()
        assert "grpc" in sys.modules and "backlit_server.workers.pool" in sys.modules
        print(sorted({"onnx", "onnxruntime", "onnx_graphsurgeon", "PIL"} & set(sys.modules)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), "--show-config"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_show_config_prints_and_ends():
    done = run("--show-config", "--port", "1234", BACKLIT_LOG_FORMAT="json")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^port +1234 +flag$", done.stdout, re.MULTILINE)
    assert re.search(r"^log_format +json +environment$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("flags", [["--port", "x"], ["--no-such-flag"], ["--host", "0.0.0.0", "--port", "0"]])
def test_settings_that_do_not_fit_end_in_one_line_and_status_2(flags, tmp_path):
    done = run(*flags, "--store", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("backlit-server: ")


def test_a_port_that_is_taken_ends_in_one_line_and_status_2(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run("--port", str(port), "--store", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"backlit-server: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_store_that_cannot_be_written_ends_in_one_line_and_status_2(tmp_path):
    (tmp_path / "file").touch()
    done = run("--port", "0", "--store", str(tmp_path / "file" / "store"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot keep models in" in done.stderr


def test_one_line_says_where_it_listens_and_telemetry_is_off_for_its_children(tmp_path):
    with server(tmp_path) as started:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", started.address())
        started.process.send_signal(signal.SIGTERM)
        assert started.process.stdout
        assert started.process.stdout.read() == ""
        assert started.stopped() == 0
        assert "telemetry off: 1" in started.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_lets_calls_in_flight_finish_and_new_ones_in_no_more(tmp_path, number):
    with server(tmp_path) as started:
        address = started.address()
        async with grpc.aio.insecure_channel(address) as channel:
            await models(channel).Upload(iter(upload_parts(MODEL, name="demo")), timeout=SECONDS)
            watch = health_stub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
            states = aiter(watch)
            assert (await anext(states)).status == Health.SERVING
            call = services.ExplanationServiceStub(channel).Explain(question(method="gated"), timeout=SECONDS)
            answers = aiter(call)
            await anext(answers)
            started.process.send_signal(number)
            assert (await anext(states)).status == Health.NOT_SERVING
            async with grpc.aio.insecure_channel(address) as another:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await list_models(another)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            started.open("go")
            assert len([answer async for answer in answers]) == 2
        assert started.stopped() == 0


async def test_calls_that_outlast_the_grace_are_cut_off(tmp_path):
    with server(tmp_path, "--grace-seconds", "1") as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            await models(channel).Upload(iter(upload_parts(MODEL, name="demo")), timeout=SECONDS)
            answers = aiter(services.ExplanationServiceStub(channel).Explain(question(method="gated")))
            await anext(answers)
            started.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError):
                await anext(answers)
        assert started.stopped() == 0


async def test_kill_9_in_the_middle_of_an_upload_loses_nothing_that_had_arrived(tmp_path):
    data = os.urandom(3 * MB + 5)
    parts = upload_parts(data, name="big")
    asked = pb.GetUploadRequest(digest=parts[0].header.digest)
    with server(tmp_path) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            call = models(channel).Upload()
            for part in parts[:3]:
                await call.write(part)
            async with asyncio.timeout(SECONDS):
                while (await models(channel).GetUpload(asked)).committed < 2 * MB:
                    await asyncio.sleep(0.01)
            started.process.kill()
            with pytest.raises(grpc.aio.AioRpcError) as lost:
                await call
            assert lost.value.code() == grpc.StatusCode.UNAVAILABLE
    with server(tmp_path) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            assert (await models(channel).GetUpload(asked)).committed == 2 * MB
            rest = upload_parts(data, name="big", offset=2 * MB)
            answer = await models(channel).Upload(iter(rest), timeout=SECONDS)
            assert (answer.known, answer.model.size) == (False, len(data))
            assert (await list_models(channel)).models[0].name == "big"


@pytest.mark.parametrize("said", ["", "something\n"])
def test_a_private_server_stops_when_its_input_ends(tmp_path, said):
    with server(tmp_path, "--private") as started:
        started.address()
        assert started.process.stdin
        started.process.stdin.write(said)
        started.process.stdin.close()
        assert started.stopped() == 0


def test_a_stop_during_the_start_is_a_stop(tmp_path):
    port = free_port()
    with server(tmp_path, "--port", str(port), ready=False) as started:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(SECONDS)
        started.process.send_signal(signal.SIGTERM)
        assert started.stopped() == 0


# -------------------------------------------------------------------- health


async def test_health_is_not_serving_until_the_workers_are_ready_and_calls_wait_outside(tmp_path):
    port = free_port()
    with server(tmp_path, "--port", str(port), ready=False) as started:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert [await health(channel, name) for name in SERVICES] == [Health.NOT_SERVING] * 3
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await list_models(channel)
            assert (refused.value.code(), refused.value.details()) == (
                grpc.StatusCode.UNAVAILABLE,
                "the server is starting; try again in a moment",
            )
            watchers = [
                aiter(health_stub(channel).Watch(health_pb2.HealthCheckRequest(service=name))) for name in SERVICES
            ]
            assert [(await anext(w)).status for w in watchers] == [Health.NOT_SERVING] * 3
            started.open("ready")
            started.address()
            assert [(await anext(w)).status for w in watchers] == [Health.SERVING] * 3
            assert [await health(channel, name) for name in SERVICES] == [Health.SERVING] * 3
            await list_models(channel)


async def test_health_of_an_unknown_service_is_not_found_and_of_a_guarded_server_free(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret")
    with server(tmp_path, "--token-file", str(token)) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            await health(channel)
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await health(channel, "other.Service")
            assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await list_models(channel)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("flags", [[], ["--reflection"]])
async def test_reflection_is_off_unless_asked_for(tmp_path, flags):
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with server(tmp_path, *flags) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            call = reflection_stub(channel).ServerReflectionInfo(iter([request]))
            if flags:
                (answer,) = await collected(call)
                listed = {service.name for service in answer.list_services_response.service}
                assert {*SERVICES[1:], "grpc.health.v1.Health"} <= listed
            else:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await collected(call)
                assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


# ----------------------------------------------------------------------- TLS


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_plaintext_beyond_this_machine_needs_to_be_told(host, allowed):
    if allowed:
        assert transport.credentials(Settings(host=host)) is None
    else:
        with pytest.raises(BadSettings, match=r"--tls-cert.*--allow-plaintext"):
            transport.credentials(Settings(host=host))
    assert transport.credentials(Settings(host=host, allow_plaintext=True)) is None


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """Two authorities, `ours` and `other`, and for each a `-server` and a `-client` certificate."""
    if not shutil.which("openssl"):
        pytest.skip("TLS IS NOT TESTED: there is no openssl command to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")
    for authority in ("ours", "other"):
        files = ("-keyout", f"{folder}/{authority}.key", "-out", f"{folder}/{authority}.pem")
        openssl(*new, *files, "-subj", f"/CN={authority}")
        signing = ("-CA", f"{folder}/{authority}.pem", "-CAkey", f"{folder}/{authority}.key")
        for end in ("server", "client"):
            files = ("-keyout", f"{folder}/{authority}-{end}.key", "-out", f"{folder}/{authority}-{end}.pem")
            openssl(*new, *files, *signing, *names, "-subj", f"/CN={end}")
    return folder


def tls_flags(certificates: Path, *, clients: str = "") -> list[str]:
    ours = ["--tls-cert", f"{certificates}/ours-server.pem", "--tls-key", f"{certificates}/ours-server.key"]
    return [*ours, *(["--tls-client-ca", f"{certificates}/{clients}.pem"] if clients else [])]


def secure(address: str, certificates: Path, *, trust: str = "ours", client: str = "") -> grpc.aio.Channel:
    pair = [(certificates / f"{client}-client{ending}").read_bytes() if client else None for ending in (".key", ".pem")]
    credentials = grpc.ssl_channel_credentials((certificates / f"{trust}.pem").read_bytes(), *pair)
    return grpc.aio.secure_channel(address, credentials)


async def reached(channel: grpc.aio.Channel) -> bool:
    """Whether a call gets through; nothing but a refused connection counts as no."""
    async with channel:
        try:
            await list_models(channel)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


async def test_with_tls_only_who_speaks_it_and_trusts_the_authority_gets_through(tmp_path, certificates):
    with server(tmp_path, *tls_flags(certificates)) as started:
        address = started.address()
        assert await reached(secure(address, certificates))
        assert not await reached(secure(address, certificates, trust="other"))
        assert not await reached(grpc.aio.insecure_channel(address))


async def test_with_mtls_only_clients_of_the_named_authority_get_through(tmp_path, certificates):
    with server(tmp_path, *tls_flags(certificates, clients="ours")) as started:
        address = started.address()
        assert await reached(secure(address, certificates, client="ours"))
        assert not await reached(secure(address, certificates, client="other"))
        assert not await reached(secure(address, certificates))


BAD_TLS = {
    "no key": (["ours-server.pem", None, None], "both --tls-cert and --tls-key"),
    "another's key": (["ours-server.pem", "other-server.key", None], "not a certificate and its key"),
    "a missing file": (["nowhere.pem", "ours-server.key", None], "nowhere.pem"),
    "a key that is none": (["ours-server.pem", "ours.pem", None], "not a certificate and its key"),
    "an authority that is none": (["ours-server.pem", "ours-server.key", "ours.key"], "no certificate authorities"),
    "mTLS without TLS": ([None, None, "ours.pem"], "needs --tls-cert and --tls-key too"),
}


@pytest.mark.parametrize("case", BAD_TLS)
def test_certificates_that_cannot_serve_are_refused_at_the_start(case, certificates):
    files, words = BAD_TLS[case]
    cert, key, authority = (certificates / name if name else None for name in files)
    with pytest.raises(BadSettings) as refusal:
        transport.credentials(Settings(tls_cert=cert, tls_key=key, tls_client_ca=authority))
    assert words in str(refusal.value)


# ---------------------------------------------------------------------- logs

RUDE = "\x1b[31mred\n2026-01-01 a made-up line"


async def log_of_a_rude_caller(folder: Path, style: Sequence[str]) -> list[str]:
    """What the server writes about an upload, a question, a defect, and a name full of control characters."""
    with server(folder, *style) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            metadata = [("x-request-id", "audit-7")]
            await models(channel).Upload(iter(upload_parts(MODEL, name="demo")), metadata=metadata)
            explain = services.ExplanationServiceStub(channel).Explain
            await collected(explain(question(method="grad-cam")))
            for request in (question(method="defect"), question(model=RUDE), question(method=RUDE)):
                await asyncio.wait([asyncio.ensure_future(collected(explain(request)))])
        started.process.send_signal(signal.SIGTERM)
        assert started.stopped() == 0
        return started.log.read_text().splitlines()[1:]  # the first is the stand-in's own


async def test_json_logs_are_objects_with_all_that_an_audit_needs(tmp_path):
    entries = [json.loads(line) for line in await log_of_a_rude_caller(tmp_path, ["--log-format", "json"])]
    calls = [entry for entry in entries if "rpc" in entry]
    assert [(c["rpc"], c["status"], c.get("method")) for c in calls] == [
        ("Upload", "OK", None),
        ("Explain", "OK", "grad-cam"),
        ("Explain", "INTERNAL", "defect"),
        ("Explain", "NOT_FOUND", None),
        ("Explain", "OK", RUDE),
    ]
    first = calls[0]
    assert first["request"] == "audit-7"
    assert re.fullmatch(r"[0-9a-f]{64}", first["model"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert first["milliseconds"] >= 0
    assert len({call["request"] for call in calls}) == len(calls)
    (defect,) = [entry for entry in entries if "trace" in entry]
    assert "secret path" in defect["trace"]
    assert defect["request"] == calls[2]["request"]


async def test_human_logs_show_control_characters_as_escapes_and_let_nobody_make_up_lines(tmp_path):
    lines = await log_of_a_rude_caller(tmp_path, [])
    assert not any(character for line in lines for character in line if not character.isprintable())
    heads = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|ERROR|WARNING) |    \| ")
    assert all(heads.match(line) for line in lines), lines
    assert any("method=\\x1b[31mred\\n2026" in line for line in lines)
