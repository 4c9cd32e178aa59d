"""The committed messages are what protoc makes of proto/backlit.proto today."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED = ("backlit_pb2.py", "backlit_pb2.pyi", "backlit_pb2_grpc.py")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make proto` would write, in a folder of its own."""
    pytest.importorskip("grpc_tools", reason="NOT CHECKED: no grpcio-tools; pip install -e .[lint]")
    out = tmp_path_factory.mktemp("generated")
    outs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-Ibacklit_proto=proto", *outs, "proto/backlit.proto"]
    subprocess.run(protoc, cwd=ROOT, check=True)
    return out / "backlit_proto"


@pytest.mark.parametrize("name", GENERATED)
def test_the_generated_code_is_fresh(fresh: Path, name: str):
    committed = (ROOT / "proto" / "backlit_proto" / name).read_text("utf-8")
    assert committed == (fresh / name).read_text("utf-8"), f"{name} is stale: run make proto and commit the result"


def test_no_generated_file_is_missing(fresh: Path):
    assert sorted(path.name for path in fresh.iterdir()) == sorted(GENERATED)
