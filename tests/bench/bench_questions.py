"""What all classes cost over a plain forward pass, and eight methods over one: both in the bare engine.

Prints two tables. Ratios are medians over paired turns of two processes (pairs.py).
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

from bench_explain import SIDES, models, stored
from pairs import Side, compare

BATCHES = (1, 8)
WEIGHED = ("grad-cam", "layer-cam", "grad-cam++")
EIGHT = ("grad-cam", "cam", "grad-cam++", "hires-cam", "layer-cam", "grad-cam-elementwise", "xgrad-cam", "fem")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns of each side")
    parser.add_argument("--runs", type=int, default=10, help="runs a turn of batch 1; larger batches get fewer")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = [(model, stored(Path(folder), model)) for model in models(Path(folder))]
        bare = str(Path(folder) / "bare")
        print(f"all 1,000 classes, float input of 602 KB an image, {len(os.sched_getaffinity(0))} cores")
        print("model                batch  method       plain ms  engine ms  ratio")
        for model, digest in made:
            for batch in BATCHES:
                for method in WEIGHED:
                    ours, theirs = ("every", bare, str(batch), f"{digest} {method}"), ("plain", str(model), str(batch))
                    print_row(f"{model.stem:20} {batch:5}  {method:11}", ours, theirs, arguments, batch)
        print(f"the best class by eight methods of one run: {', '.join(EIGHT)}")
        print("model                batch                 one ms   eight ms  ratio")
        for model, digest in made:
            for batch in BATCHES:
                ours, theirs = (("best", bare, str(batch), f"{digest} {' '.join(some)}") for some in (EIGHT, EIGHT[:1]))
                print_row(f"{model.stem:20} {batch:5}  {'':11}", ours, theirs, arguments, batch)


def print_row(
    name: str, ours: tuple[str, ...], theirs: tuple[str, ...], arguments: argparse.Namespace, batch: int
) -> None:
    with Side(SIDES, *theirs) as plain, Side(SIDES, *ours) as engine:
        pair = compare(engine, plain, arguments.turns, max(2, arguments.runs // batch))
    print(f"{name} {pair.theirs:9.2f} {pair.ours:10.2f} {pair.ratio:6.3f}", flush=True)


if __name__ == "__main__":
    main()
