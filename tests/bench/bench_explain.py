"""What explaining costs beyond a plain forward pass: Grad-CAM, top 5, in the engine and through the server.

Prints two tables. Ratios are medians over paired turns of two processes (pairs.py).
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import efficientnet_lite0
from goals import say
from pairs import ANEW, Part, Side, compare
from points import Point
from real_server import real_server
from resnet50 import resnet50
from vgg11 import vgg11

SIDES = str(Path(__file__).parent / "sides.py")
POINTS = str(Path(__file__).parent / "points.py")
BATCHES = (1, 8, 32)
SERVED = (1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="turns of each side")
    parser.add_argument("--runs", type=int, default=8, help="runs a turn of batch 1; larger batches get fewer")
    arguments = parser.parse_args()
    print(f"Grad-CAM, top 5, float input of 602 KB an image, {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as folder:
        made = models(Path(folder))
        vgg11(Path(folder) / "vgg11-random.onnx")
        print("model                batch  plain ms  engine ms  ratio")
        for model in (*made, Path(folder) / "vgg11-random.onnx"):
            print_engine(model, arguments.turns, arguments.runs)
        print("model                batch  plain ms  server ms  ratio  adds ms")
        with real_server(Path(folder), *ANEW) as address:
            for model in made:
                for batch in SERVED:
                    print_server(model, address, batch, arguments.turns, max(2, arguments.runs // batch))


def print_engine(model: Path, turns: int, runs: int) -> None:
    with sides(model.parent, [Point(str(model), (batch, 3, 224, 224)) for batch in BATCHES]) as (plain, engine):
        for number, batch in enumerate(BATCHES):
            pair = compare(Part(engine, number), Part(plain, number), turns, max(1, runs // batch))
            print(f"{model.stem:20} {batch:5} {pair.theirs:9.2f} {pair.ours:10.2f} {pair.ratio:6.3f}", flush=True)
            say("top 5", f"{model.stem}, batch {batch}", pair.ratio)


def print_server(model: Path, address: str, batch: int, turns: int, runs: int) -> None:
    with (
        Side(SIDES, "plain", str(model), str(batch)) as plain,
        Side(SIDES, "server", str(model), str(batch), address) as served,
    ):
        pair = compare(served, plain, turns, runs)
    print(f"{model.stem:20} {batch:5} {pair.theirs:9.2f} {pair.ours:10.2f} {pair.ratio:6.3f}", end="")
    print(f" {pair.ours - pair.theirs:8.2f}", flush=True)


@contextmanager
def sides(store: Path, points: Sequence[Point]) -> Iterator[tuple[Side, Side]]:
    """Plain ONNX Runtime and the bare engine, each with an action a point."""
    said = json.dumps([asdict(point) for point in points])
    with Side(POINTS, "plain", str(store), said) as plain, Side(POINTS, "engine", str(store), said) as engine:
        yield plain, engine


def models(folder: Path) -> list[Path]:
    """The networks: real weights, and random ones of ResNet-50's size."""
    made = [folder / "efficientnet-lite0.onnx", folder / "resnet50-random.onnx"]
    efficientnet_lite0.build(made[0])
    resnet50(made[1])
    return made


def stored(store: Path, model: Path) -> str:
    """Where the bare engine looks for it; the server finds it there too when it is uploaded."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    folder = store / "bare" / "models" / digest
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").unlink(missing_ok=True)
    (folder / "model.onnx").symlink_to(model)
    return digest


if __name__ == "__main__":
    main()
