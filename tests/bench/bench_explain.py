"""What explaining costs beyond a plain forward pass: Grad-CAM, top 5, in the engine and through the server.

Prints a table. Ratios are medians over paired turns of two processes (pairs.py).
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import efficientnet_lite0
from pairs import ANEW, Pair, Side, compare
from real_server import real_server
from resnet50 import resnet50

SIDES = str(Path(__file__).parent / "sides.py")
BATCHES = (1, 8)
HEADER = "model                batch  plain ms  engine ms  ratio  server ms  ratio  adds ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns of each side")
    parser.add_argument("--runs", type=int, default=10, help="runs a turn of batch 1; larger batches get fewer")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, real_server(store := Path(folder), *ANEW) as address:
        print(f"Grad-CAM, top 5, float input of 602 KB an image, {len(os.sched_getaffinity(0))} cores")
        print(HEADER)
        for model in models(Path(folder)):
            digest = stored(store, model)
            for batch in BATCHES:
                runs = max(2, arguments.runs // batch)
                with Side(SIDES, "plain", str(model), str(batch)) as plain:
                    with Side(SIDES, "engine", str(store / "bare"), str(batch), digest) as ours:
                        engine = compare(ours, plain, arguments.turns, runs)
                    with Side(SIDES, "server", str(model), str(batch), address) as ours:
                        server = compare(ours, plain, arguments.turns, runs)
                print_row(model.stem, batch, engine, server)


def print_row(name: str, batch: int, engine: Pair, server: Pair) -> None:
    adds = server.ours - server.theirs
    print(
        f"{name:20} {batch:5} {engine.theirs:9.2f} {engine.ours:10.2f} {engine.ratio:6.3f} "
        f"{server.ours:10.2f} {server.ratio:6.3f} {adds:8.2f}",
        flush=True,
    )


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
