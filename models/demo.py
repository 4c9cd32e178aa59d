"""What `make demo` shows: a real classifier on a real server, asked what it looked at in two photographs.

Everything lands in demo/: the model, the photographs, one picture a photograph, the server's store and its log.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import backlit
import efficientnet_lite0
from backlit import pictures
from imagenet import class_names

DEMO = Path(__file__).parents[1] / "demo"
NAME = "efficientnet-lite0"
METHODS = ("cam", "grad-cam", "grad-cam++")
PHOTOS = {"cat": data.chelsea, "coffee": data.coffee}  # both CC0: Stefan van der Walt; Rachel Michetti, Pikolo Espresso
TARGET = "top2"
ANNOUNCEMENT = "backlit-server listening on "
STOP_SECONDS = 40


def main() -> None:
    """Builds the model, starts a server, uploads, explains, draws, stops."""
    DEMO.mkdir(exist_ok=True)
    path = built_model()
    with running_server(DEMO / "store") as address, backlit.connect(address) as server:
        print(f"server   {address}")
        preprocessing = {"preset": "efficientnet-lite"}
        model = server.upload(path, name=NAME, preprocessing=preprocessing, class_names=class_names())
        print(f"layer    {model.card.default_layer}: {model.card.default_layer_reason}")
        for photo, load in PHOTOS.items():
            picture = DEMO / f"{photo}.png"
            Image.fromarray(load()).save(picture)
            show(picture, model)


def built_model() -> Path:
    """The model's file; built anew unless the right bytes are there."""
    path = DEMO / f"{NAME}.onnx"
    there = path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == efficientnet_lite0.DIGEST
    if not there:
        efficientnet_lite0.build(path)
    print(f"model    {shown(path)} ({'was there' if there else 'built'})")
    return path


@contextmanager
def running_server(store: Path) -> Iterator[str]:
    """The address of a server on a free loopback port; it stops at the end, even if this process is killed."""
    command = [sys.executable, "-m", "backlit_server", "--port", "0", "--store", str(store), "--private"]
    log = DEMO / "server.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout  # a pipe, as asked for
            line = process.stdout.readline()
            if not line.startswith(ANNOUNCEMENT):
                sys.exit(f"the server did not start; its log is {shown(log)}:\n{log.read_text()}")
            yield line.removeprefix(ANNOUNCEMENT).strip()
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def show(picture: Path, model: backlit.Model) -> None:
    """Explains one photograph by every method, draws the overlays class by class, and says what the model saw."""
    by_method = [model.explain(picture, method, target=TARGET) for method in METHODS]
    by_class = list(zip(*by_method, strict=True))
    drawing = picture.with_stem(f"{picture.stem}-explained")
    pictures.overlay(picture, [e for same in by_class for e in same]).savefig(drawing)
    print(f"\n{picture.stem}")
    for same in by_class:
        peaks = ", ".join(f"{e.method} {peak(e.heatmap)}" for e in same)
        print(f"  {same[0].name} (score {same[0].score:.2f}), hottest spot: {peaks}")
    print(f"  -> {shown(drawing)}")


def peak(heatmap: np.ndarray) -> str:
    """Where the largest value lies in what the model saw, in words: "upper left", "centre", "lower"."""
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    down = ("upper", "", "lower")[int(3 * (row + 0.5) / heatmap.shape[0])]
    across = ("left", "", "right")[int(3 * (column + 0.5) / heatmap.shape[1])]
    return f"{down} {across}".strip() or "centre"


def shown(path: Path) -> str:
    """The path as the person at the terminal would write it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    main()
