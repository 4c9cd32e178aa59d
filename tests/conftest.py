"""What every test may ask for: the shared models and photographs, outside the project, and the bare engine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from backlit_server.engine.engine import Engine
    from backlit_server.engine.runtime import Runtime

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


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """That of a real server with a store of its own, shared by the tests of a file."""
    from real_server import real_server  # not above: it imports numpy, which reads the threads set there

    with real_server(tmp_path_factory.mktemp("store")) as address:
        yield address


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
