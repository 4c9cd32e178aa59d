"""How the client behaves on the wire: resuming, deadlines, errors, what travels with a call."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

import backlit
from backlit.refusals import BY_CODE, from_call
from backlit_proto.errors import ERRORS
from fake_server import WAIT, Fake, fake_server

MODEL_BYTES = np.random.default_rng(0).bytes(5 * 2**20 + 17)


@pytest.fixture
def fake() -> Iterator[Fake]:
    with fake_server() as fake:
        yield fake


def test_a_broken_upload_goes_on_where_the_server_stands(fake: Fake):
    fake.models.breaks = [2 * 2**20, 4 * 2**20]
    seen: list[tuple[int, int]] = []
    with backlit.connect(fake.address) as server:
        model = server.upload(MODEL_BYTES, progress=lambda done, total: seen.append((done, total)))
    assert fake.models.stored == MODEL_BYTES
    assert [header.offset for header in fake.models.headers] == [0, 2 * 2**20, 4 * 2**20]
    assert model.size == len(MODEL_BYTES)
    assert seen[-1] == (len(MODEL_BYTES), len(MODEL_BYTES))


async def test_a_broken_upload_goes_on_with_asyncio_too(fake: Fake):
    fake.models.breaks = [2 * 2**20]
    async with backlit.aio.connect(fake.address) as server:
        await server.upload(MODEL_BYTES)
    assert fake.models.stored == MODEL_BYTES
    assert [header.offset for header in fake.models.headers] == [0, 2 * 2**20]


def test_an_upload_that_keeps_breaking_is_given_up(fake: Fake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backlit.flows.PAUSES", (0.01, 0.01))
    fake.models.breaks = [1, 1, 1, 1]
    with backlit.connect(fake.address) as server, pytest.raises(backlit.ServerUnavailable, match="broke"):
        server.upload(MODEL_BYTES)
    assert len(fake.models.headers) == 3


def test_bytes_the_server_knows_are_not_sent_again(fake: Fake, tmp_path: Path):
    fake.models.stored = MODEL_BYTES
    file = tmp_path / "model.onnx"
    file.write_bytes(MODEL_BYTES)
    seen: list[tuple[int, int]] = []
    with backlit.connect(fake.address) as server:
        server.upload(
            file, name="demo", preprocessing="imagenet", class_names=["a", "b"], progress=lambda *n: seen.append(n)
        )
    (header,) = fake.models.headers
    assert (header.name, header.preprocessing.preset, list(header.class_names)) == ("demo", "imagenet", ["a", "b"])
    assert fake.models.stored == MODEL_BYTES
    assert seen == [(len(MODEL_BYTES), len(MODEL_BYTES))]


def test_a_failure_of_the_callers_own_progress_reaches_the_caller(fake: Fake):
    def fail(done: int, total: int) -> None:
        raise RuntimeError("my bar broke")

    with backlit.connect(fake.address) as server, pytest.raises(RuntimeError, match="my bar broke"):
        server.upload(MODEL_BYTES, progress=fail)


@pytest.mark.parametrize("kind", ERRORS.values())
def test_every_error_arrives_as_the_class_the_server_raised(fake: Fake, kind: type[backlit.BacklitError]):
    fake.models.refusal = kind("no such thing; try another", hint="other")
    with backlit.connect(fake.address) as server, pytest.raises(kind, match=r"^no such thing; try another$") as caught:
        server.model("x", timeout=WAIT)
    assert type(caught.value) is kind
    assert caught.value.details == {"hint": "other"}


@dataclass(frozen=True)
class Refused:
    """A failed call without a reason, as gRPC itself or a proxy leaves it."""

    status: grpc.StatusCode

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return "said the proxy"

    def trailing_metadata(self) -> None:
        return None


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_without_a_reason_is_one_of_our_errors(code: grpc.StatusCode):
    error = from_call(Refused(code), "host:1")
    assert type(error) is BY_CODE.get(code, (backlit.InternalError,))[0]
    assert "host:1" in str(error) or "said the proxy" in str(error)


def test_nobody_listening_is_said_with_the_address():
    with backlit.connect("127.0.0.1:1") as server, pytest.raises(backlit.ServerUnavailable, match=r"127\.0\.0\.1:1"):
        server.models()


def test_a_deadline_ends_the_call(fake: Fake):
    with (
        backlit.connect(fake.address, timeout=0.2) as server,
        pytest.raises(backlit.DeadlineExceeded, match="timeout="),
    ):
        server.delete("slow")
    assert fake.models.cancelled.wait(WAIT)


def test_control_c_stops_the_call(fake: Fake):
    with backlit.connect(fake.address) as server, pytest.raises(KeyboardInterrupt):
        server.delete("interrupt")
    assert fake.models.cancelled.wait(WAIT)


def test_the_token_travels_with_every_call(fake: Fake):
    with backlit.connect(fake.address, token="secret") as server:
        server.model("m")
    assert ("authorization", "Bearer secret") in fake.models.metadata


def test_lists_are_read_to_their_last_page(fake: Fake):
    with backlit.connect(fake.address) as server:
        assert [model.digest for model in server.models()] == ["d0", "d1", "d2"]


def test_an_export_is_written_whole_or_not_at_all(fake: Fake, tmp_path: Path):
    target = tmp_path / "out.onnx"
    with backlit.connect(fake.address) as server:
        model = server.model("m")
        assert model.export() == b"abcdef"
        assert model.export(target) == target
        with pytest.raises(backlit.CorruptModel, match="6 bytes"):
            model.export(target, layer="damaged")
    assert target.read_bytes() == b"abcdef"
    assert list(tmp_path.iterdir()) == [target]


def test_a_certificate_needs_its_key():
    with pytest.raises(backlit.BadQuestion, match="cert and key"):
        backlit.connect("localhost:1", cert="me.pem")


def test_importing_backlit_brings_grpc_protobuf_and_numpy_and_nothing_heavier():
    program = "import sys, backlit; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"grpc", "google", "numpy"} <= set(loaded)
    assert not {"PIL", "matplotlib", "rich", "onnx", "onnxruntime", "backlit_server"} & set(loaded)


def test_what_is_public_is_listed_once():
    assert [name for name in backlit.__all__ if not hasattr(backlit, name)] == []
    assert {kind.__name__ for kind in ERRORS.values()} <= set(backlit.__all__)
