"""One caller of Triton, driven by pairs.py: a file with Grad-CAM built in, behind ONNX Runtime in PyTriton.

`triton_side.py FILE` asks for the map of the first class, and starts the server, `triton_side.py FILE --serve PORT`.
Imports PyTriton and its client, and backlit never.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from library_sides import images
from pairs import serve

NAME = "explained"
SHAPE = (3, 224, 224)
WAIT = 60  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="written by export()")
    parser.add_argument("--serve", type=int, metavar="PORT")
    parser.add_argument("--save", type=Path, help="write the map here, and end")
    arguments = parser.parse_args()
    if arguments.serve:
        return be_server(arguments.model, arguments.serve)
    with server(arguments.model) as port:
        ask = caller(port)
        return np.save(arguments.save, ask()) if arguments.save else serve(ask)


@contextlib.contextmanager
def server(model: Path) -> Iterator[int]:
    """The port of one that begins to start, and ends when this does."""
    port = free_port()
    command = [sys.executable, __file__, str(model), "--serve", str(port)]
    # Its workers are a program that loads libpython, and takes the first one that it finds.
    found = {"LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR")}
    with (
        model.with_suffix(".log").open("wb") as log,
        subprocess.Popen(command, env=os.environ | found, stdin=subprocess.PIPE, stdout=log, stderr=log),
    ):
        yield port


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def be_server(model: Path, port: int) -> None:
    """Serves until standard input ends."""
    import onnxruntime
    from pytriton.decorators import batch  # pyright: ignore[reportMissingImports]
    from pytriton.model_config import ModelConfig, Tensor  # pyright: ignore[reportMissingImports]
    from pytriton.triton import Triton, TritonConfig  # pyright: ignore[reportMissingImports]

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    image, seed = session.get_inputs()
    classes = seed.shape[1]

    @batch
    def infer(x: np.ndarray) -> dict[str, np.ndarray]:
        first = np.zeros((len(x), classes), np.float32)
        first[:, 0] = 1
        (heatmap,) = session.run(["heatmap"], {image.name: x, seed.name: first})
        return {"heatmap": np.asarray(heatmap)}

    ports = {"grpc_port": port, "http_port": free_port(), "metrics_port": free_port()}
    with Triton(config=TritonConfig(**ports)) as triton:
        told = {
            "inputs": [Tensor(name="x", dtype=np.float32, shape=SHAPE)],
            "outputs": [Tensor(name="heatmap", dtype=np.float32, shape=(-1, -1))],
        }
        triton.bind(model_name=NAME, infer_func=infer, config=ModelConfig(max_batch_size=8), **told)
        triton.run()
        sys.stdin.read()


def caller(port: int) -> Callable[[], np.ndarray]:
    """What asks for the map of one image, the same each time, once the server is ready."""
    import tritonclient.grpc as triton  # pyright: ignore[reportMissingImports]

    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    x = images(1)

    def ask() -> np.ndarray:
        given = triton.InferInput("x", x.shape, "FP32")
        given.set_data_from_numpy(x)
        return client.infer(NAME, [given]).as_numpy("heatmap")

    ready(client)
    return ask


def ready(client) -> None:
    """Waits for the server, which imports and loads for some seconds."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        with contextlib.suppress(Exception):  # whatever the client raises while nobody listens
            if client.is_model_ready(NAME):
                return
        time.sleep(0.2)
    raise TimeoutError(f"Triton is not ready after {WAIT} s")


if __name__ == "__main__":
    main()
