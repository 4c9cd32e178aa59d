"""Methods that run the network again and again, beside plain ONNX Runtime on the same batches.

Prints images a second: the engine's with all that is done to images and scores, masks, their enlargement and the maps.
Ratios are medians over paired turns of two processes (pairs.py).
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from bench_explain import models, stored
from goals import say
from pairs import Side, compare
from sides import ROWS

SIDES = str(Path(__file__).parent / "sides.py")
METHODS = (("score-cam", "most"), ("rise", "masks"))  # and the parameter that says how many images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="turns of each side")
    parser.add_argument(
        "--images", type=int, default=96, help="images a question, in place of RISE's 4,000: a multiple of the batch"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{arguments.images} images a question in batches of {ROWS}, {len(os.sched_getaffinity(0))} cores")
        print("model                method     plain images/s  engine images/s  ratio")
        for model in models(Path(folder)):
            digest = stored(Path(folder), model)
            for method, parameter in METHODS:
                detail = f"{digest} {method} {parameter}"
                print_row(model, Path(folder) / "bare", detail, arguments.images, arguments.turns)


def print_row(model: Path, store: Path, detail: str, images: int, turns: int) -> None:
    with (
        Side(SIDES, "plain again", str(model), str(images)) as plain,
        Side(SIDES, "engine again", str(store), str(images), detail) as engine,
    ):
        pair = compare(engine, plain, turns, 1)
    ours, theirs = (1000 * images / milliseconds for milliseconds in (pair.ours, pair.theirs))
    method = detail.split()[1]
    print(f"{model.stem:20} {method:10} {theirs:14.1f} {ours:16.1f} {1 / pair.ratio:6.3f}", flush=True)
    if method == "rise":
        say("many passes", model.stem, 1 / pair.ratio)


if __name__ == "__main__":
    main()
