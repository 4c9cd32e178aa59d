"""What all classes cost over a plain forward pass, and eight methods over one: both in the bare engine.

Prints two tables. Ratios are medians over paired turns (pairs.py).
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

from bench_explain import models, sides
from goals import say
from pairs import Part, compare
from points import ALL, Point

BATCHES = (1, 8)
WEIGHED = ("grad-cam", "layer-cam", "grad-cam++")
EIGHT = ("grad-cam", "cam", "grad-cam++", "hires-cam", "layer-cam", "grad-cam-elementwise", "xgrad-cam", "fem")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="turns of each side")
    parser.add_argument("--runs", type=int, default=10, help="runs a turn of batch 1; larger batches get fewer")
    arguments = parser.parse_args()
    print(f"float input of 602 KB an image, {len(os.sched_getaffinity(0))} cores")
    print(f"all {ALL} classes by a method, over plain forward; the best class by {', '.join(EIGHT)}, over the first")
    print("model                batch  asked           one ms    more ms  ratio")
    with tempfile.TemporaryDirectory() as folder:
        for model in models(Path(folder)):
            print_rows(model, arguments.turns, arguments.runs)


def print_rows(model: Path, turns: int, runs: int) -> None:
    asked = [point for batch in BATCHES for point in points(str(model), batch)]
    with sides(model.parent, asked) as (plain, engine):
        for number, point in enumerate(asked):
            if point.classes == ALL:
                print_row(model.stem, point, point.method, Part(engine, number), Part(plain, number), turns, runs)
            elif point.more:
                print_row(
                    model.stem, point, "eight methods", Part(engine, number), Part(engine, number + 1), turns, runs
                )


def points(model: str, batch: int) -> list[Point]:
    """What is asked of the engine: all classes by each method, eight methods, and the one these are compared with."""
    shape = (batch, 3, 224, 224)
    every = [Point(model, shape, method, ALL) for method in WEIGHED]
    return [*every, Point(model, shape, EIGHT[0], 1, more=EIGHT[1:]), Point(model, shape, EIGHT[0], 1)]


def print_row(name: str, point: Point, asked: str, ours: Part, theirs: Part, turns: int, runs: int) -> None:
    batch = point.shape[0]
    pair = compare(ours, theirs, turns, max(2, runs // batch))
    print(f"{name:20} {batch:5}  {asked:13} {pair.theirs:8.2f} {pair.ours:10.2f} {pair.ratio:6.3f}", flush=True)
    if asked in GOALS_OF:
        say(GOALS_OF[asked], f"{name}, batch {batch}", pair.ratio)


GOALS_OF = {"grad-cam": "all classes", "eight methods": "eight methods"}


if __name__ == "__main__":
    main()
