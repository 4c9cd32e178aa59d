"""The latency of questions while models are uploaded and examined, beside that without, in turns.

One caller asks for Grad-CAM of the best class of one image, again as soon as it is answered; meanwhile two upload
EfficientNet-Lite0 (19 MB), each time with other bytes. Prints a table; ratios are of medians, turn by turn.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

import backlit
from bench_explain import models
from bench_load import CALLER
from goals import say
from pairs import ANEW, REST_SECONDS, Side
from real_server import real_server

UPLOADER = str(Path(__file__).parent / "uploader.py")
ASKED = 10  # questions between two looks at whether the uploads have ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--uploaders", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, real_server(Path(folder), *ANEW) as address, ExitStack() as stack:
        made = models(Path(folder))
        with backlit.connect(address) as server:
            for model in made:
                server.upload(model, name=model.stem)
        uploaders = [stack.enter_context(Side(UPLOADER, address, str(made[0]))) for _ in range(arguments.uploaders)]
        print(f"{len(uploaders)} uploads at a time, {len(os.sched_getaffinity(0))} cores")
        print("                     alone ms        beside uploads          an upload")
        print("model                    p50     p99     p50     p99   ratio         s")
        for model in made:
            with Side(CALLER, address, model.stem) as caller:
                print_row(model.stem, caller, uploaders, arguments.turns)


def print_row(name: str, caller: Side, uploaders: Sequence[Side], turns: int) -> None:
    alone, beside, taken, ratios = [], [], [], []
    caller.run(ASKED)
    for _ in range(turns):
        time.sleep(REST_SECONDS)
        before = caller.run(5 * ASKED)
        during, seconds = asked_beside(caller, uploaders)
        ratios.append(statistics.median(during) / statistics.median(before))
        alone, beside, taken = alone + before, beside + during, taken + seconds
    figures = [*1e3 * np.percentile(alone, (50, 99)), *1e3 * np.percentile(beside, (50, 99))]
    ratio = statistics.median(ratios)
    print(f"{name:20}" + "".join(f"{figure:8.2f}" for figure in figures), end="")
    print(f"{ratio:8.3f} {statistics.median(taken):9.2f}", flush=True)
    say("uploads", name, ratio)


def asked_beside(caller: Side, uploaders: Sequence[Side]) -> tuple[list[float], list[float]]:
    """Seconds of the questions asked while all of the uploads go on, and of the uploads."""
    for uploader in uploaders:
        uploader.start(1)
    during = caller.run(ASKED)
    while not any(uploader.answered for uploader in uploaders):
        during += caller.run(ASKED)
    return during, [seconds for uploader in uploaders for seconds in uploader.finish()]


if __name__ == "__main__":
    main()
