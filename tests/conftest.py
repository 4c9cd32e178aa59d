"""What every test may ask for: the shared models and photographs, outside the project, and the bare engine."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np

    import backlit
    from backlit_server.engine.engine import Engine
    from backlit_server.engine.runtime import Runtime
    from backlit_server.settings import Settings
    from backlit_server.workers.channel import Channel
    from backlit_server.workers.pool import Pool
    from networks import Normal
    from noted import Runs
    from stand_ins import House

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # likewise, those of scikit-learn
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as backlit-server does it


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and photographs, beside the checkout or where BACKLIT_SHARED says."""
    folder = Path(os.environ.get("BACKLIT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip(f"REAL MODELS MISSING: no models in {folder}; set BACKLIT_SHARED to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def digits40(shared: Path) -> "np.ndarray":
    """200 pictures of digits as the models of digits take them, (200, 1, 40, 40)."""
    import numpy as np  # not above: it reads the threads set there

    pixels = np.load(shared / "photos" / "digits40" / "test200.npz")["images"][:, None]
    return (pixels / 255 * 2 - 1).astype(np.float32)


@pytest.fixture
def normal() -> "Normal":
    """Draws numbers, the same ones in each test whatever ran before."""
    from networks import normals  # as above

    return normals(11)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """That of a real server with a store of its own, shared by the tests of a file."""
    from real_server import real_server  # not above: it imports numpy, which reads the threads set there

    with real_server(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture(scope="module")
def server(address: str) -> "Iterator[backlit.Server]":
    """A connection to that server."""
    import backlit  # as above

    with backlit.connect(address) as connected:
        yield connected


@pytest.fixture(scope="module")
def upload(server: "backlit.Server", shared: Path) -> "Callable[..., backlit.Model]":
    """Uploads a shared model there, by its name."""
    return lambda file, **said: server.upload(shared / "models" / f"{file}.onnx", **said)


@pytest.fixture
async def house(tmp_path: Path) -> "AsyncIterator[House]":
    """A server in this process whose workers and admission are stand-ins."""
    from stand_ins import open_house  # as above

    async with open_house(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server or of engines, shared by the tests of a file."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def device() -> str:
    """The device that tests of a GPU are for, as workers are told of it; a skip where there is none."""
    from gpus import required  # as above

    return required()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> "Engine":
    """An engine with a store of its own, shared by the tests of a file."""
    from backlit_server.engine.engine import Engine  # not above: most tests need no onnxruntime

    return Engine(tmp_path_factory.mktemp("store"), "cpu", 2)


@pytest.fixture(scope="module")
def runtime() -> "Runtime":
    """Sessions without an engine around them."""
    from backlit_server.engine.runtime import Runtime  # as above

    return Runtime("cpu", 2)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> "Runs":
    """What engines run."""
    from noted import Runs  # as above

    return Runs().note(monkeypatch)


@pytest.fixture
def channels() -> "Iterator[tuple[Channel, Channel]]":
    """Both ends of one."""
    from backlit_server.workers.channel import Channel  # as above

    one, other = map(Channel, socket.socketpair())
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def toys_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import the toy engines by name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture
def settings(tmp_path: Path, toys_on_the_path: None) -> "Settings":
    """Those of a pool of toy engines."""
    from backlit_server.settings import Settings  # as above

    return Settings(store=tmp_path, device="cpu", max_questions=8)


@pytest.fixture
async def pool(settings: "Settings") -> "AsyncIterator[Pool]":
    """One worker process with a toy engine."""
    from backlit_server.workers.pool import Pool  # as above

    pool = Pool(settings, engine="toy_engines:Toy")
    await pool.start()
    yield pool
    await pool.stop(0)
