"""The image, built for real and asked a real question, without Docker: buildah on a base made by mmdebstrap.

Needs root and: apt-get install --no-install-recommends buildah mmdebstrap crun
The base is Debian with its own Python, tagged as the image the Dockerfile starts from, so that the Dockerfile is built
as it is. Takes about two minutes, 2 GB of disk, Debian's archive and a package index.
"""

import importlib
import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import backlit

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]
TOOLS = ("buildah", "mmdebstrap", "crun")
BASE = "docker.io/library/python:3.11-slim-bookworm"
PYTHON = "ca-certificates,python3-minimal,python3-pip,python3-venv"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
ANNOUNCEMENT = "backlit-server listening on "


@dataclass(frozen=True)
class Buildah:
    """buildah with images and containers in a folder of its own."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        stores = [f"--root={self.folder / 'root'}", f"--runroot={self.folder / 'run'}", "--storage-driver=vfs"]
        return ["buildah", *stores, *arguments]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, f"{' '.join(done.args)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()


@dataclass(frozen=True)
class Container:
    """A container of the image, and what the image says about itself."""

    buildah: Buildah
    name: str
    config: dict

    def command(self, *arguments: str) -> list[str]:
        return self.buildah.command("run", "--isolation=chroot", "--network=host", self.name, "--", *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        pytest.skip(f"IMAGE NOT CHECKED: no {', '.join(missing)}; apt-get install buildah mmdebstrap crun")
    if os.geteuid() != 0:
        pytest.skip("IMAGE NOT CHECKED: building without Docker needs root")
    buildah = Buildah(tmp_path_factory.mktemp("buildah"))
    yield buildah
    buildah.run("rm", "--all")
    shutil.rmtree(buildah.folder)


@pytest.fixture(scope="module")
def container(buildah: Buildah) -> Container:
    base = buildah.folder / "base.tar"
    subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={PYTHON}", "bookworm", base], check=True)
    (buildah.folder / "Basefile").write_text("FROM scratch\nADD base.tar /\n")
    buildah.run("bud", "--isolation=chroot", f"--tag={BASE}", "--file=Basefile", ".")
    options = ["--pull-never", "--isolation=chroot", "--network=host", "--format=docker", *trust(buildah.folder)]
    buildah.run("bud", *options, "--tag=backlit", f"--file={ROOT / 'Dockerfile'}", str(ROOT))
    config = json.loads(buildah.run("inspect", "--type=image", "backlit"))["Docker"]["config"]
    return Container(buildah, buildah.run("from", "--pull-never", "backlit"), config)


def trust(folder: Path) -> list[str]:
    """Lets pip in the build trust the authorities that this machine trusts: a build host may have its own."""
    authorities = ssl.get_default_verify_paths().cafile
    if authorities is None:
        return []
    (folder / "pip.conf").write_text(f"[global]\ncert = {AUTHORITIES}\n")
    return [f"--volume={authorities}:{AUTHORITIES}:ro", f"--volume={folder / 'pip.conf'}:/etc/pip.conf:ro"]


@contextmanager
def running(container: Container, *flags: str) -> Iterator[str]:
    """The address of the server, started by the image's own entry point and stopped by the image's own signal."""
    command = container.command(*container.config["Entrypoint"], *flags)
    log = container.buildah.folder / "server.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True) as run,
    ):
        try:
            assert run.stdout
            line = run.stdout.readline()
            assert line.startswith(ANNOUNCEMENT), f"{line!r}\n{log.read_text()}"
            yield line.removeprefix(ANNOUNCEMENT).strip()
            # Isolation by chroot has no process namespace: the signal goes to the server itself.
            os.kill(server_under(run.pid), signal.Signals[container.config["StopSignal"]])
            assert run.wait(60) == 0, log.read_text()
        finally:
            with suppress(ProcessLookupError):  # all of them ended by themselves, as they should
                os.killpg(run.pid, signal.SIGKILL)
            print(log.read_text())  # pytest shows it where the test fails


def server_under(pid: int) -> int:
    """The descendant of the process that is the server itself, below the processes that buildah isolates it with."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    for child in [int(child) for task in tasks for child in (task / "children").read_text().split()]:
        return child if Path(f"/proc/{child}/comm").read_text() == "backlit-server\n" else server_under(child)
    raise AssertionError(f"process {pid} has started no server")


def test_the_image_runs_as_a_numeric_user_with_an_exec_form_entry_point(container: Container):
    config = container.config
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["backlit-server"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Volumes"] == {"/models": {}}
    assert "ORT_DISABLE_TELEMETRY=1" in config["Env"]


def test_nothing_but_the_store_and_temporary_files_can_be_written(container: Container):
    found = container.run("find", "/", "-xdev", "-writable", "-not", "-type", "l", "-not", "-path", "/proc/*")
    allowed = ("/models", "/tmp", "/var/tmp", "/run/lock", "/dev")
    assert [path for path in found.stdout.split() if not path.startswith(allowed)] == []


def test_plaintext_beyond_loopback_has_to_be_asked_for(container: Container):
    refused = container.run(*container.config["Entrypoint"], "--port=0")
    assert refused.returncode != 0
    assert "--allow-plaintext" in refused.stderr


def test_the_server_in_the_image_explains_a_photograph(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = pytest.importorskip("skimage.data", reason="DEMO EXTRA MISSING: no scikit-image; pip install -e .[demo]")
    monkeypatch.syspath_prepend(ROOT / "models")
    importlib.import_module("efficientnet_lite0").build(tmp_path / "model.onnx")
    names = importlib.import_module("imagenet").class_names()
    with running(container, "--port=0", "--allow-plaintext", "--device=cpu") as address:
        port = address.rpartition(":")[2]
        assert healthy(container, port), "the image's own health check fails while the server serves"
        with backlit.connect(f"127.0.0.1:{port}", timeout=120) as server:
            model = server.upload(tmp_path / "model.onnx", preprocessing="efficientnet-lite", class_names=names)
            (seen,) = model.explain(data.chelsea(), "cam")
    assert seen.name in ("tabby", "tiger cat", "Egyptian cat")
    assert seen.heatmap.shape == (7, 7)
    assert seen.heatmap.max() > 0
    assert not healthy(container, port)


def healthy(container: Container, port: str) -> bool:
    kind, *command = container.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    return container.run(*command, f"--port={port}").returncode == 0
