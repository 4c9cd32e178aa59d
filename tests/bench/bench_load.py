"""A server with many callers beside plain ONNX Runtime, and what a server adds when one caller asks.

Grad-CAM of the best class, one image of 602 KB a question. Callers are processes of their own. Prints two tables:
images a second in turns on the same cores, with the processor time an image by process, because here callers and front
take from the cores that the model runs on; and quantiles of the latency against the bare engine's.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

import backlit
from accounts import processor_seconds, server_processes
from bench_explain import SIDES, models, stored
from goals import say
from pairs import ANEW, REST_SECONDS, Side
from real_server import real_server
from sides import METHOD

CALLER = str(Path(__file__).parent / "caller.py")
LARGE = 8
QUANTILES = (50, 99)


@dataclass(frozen=True)
class Contender:
    """Processes that run at the same time, so many images a run, and whose processor time counts, by name."""

    sides: Sequence[Side]
    images: int
    processes: Mapping[str, Sequence[int]]

    def turn(self, seconds: float) -> "Turn":
        """A turn of about so long, once the others' threads have stopped spinning."""
        time.sleep(REST_SECONDS)
        times = max(1, round(seconds / max(statistics.median(each) for each in together(self.sides, 2))))
        before, start = self._spent(), time.perf_counter()
        together(self.sides, times)
        took, images = time.perf_counter() - start, times * len(self.sides) * self.images
        spent = {name: 1e3 * (after - before[name]) / images for name, after in self._spent().items()}
        return Turn(images / took, spent)

    def _spent(self) -> dict[str, float]:
        return {name: sum(map(processor_seconds, pids)) for name, pids in self.processes.items()}


@dataclass(frozen=True)
class Turn:
    """Images a second, and processor milliseconds an image by process."""

    rate: float
    spent: Mapping[str, float]


def together(sides: Sequence[Side], times: int) -> list[list[float]]:
    """All sides at once; the seconds of each one's runs."""
    for side in sides:
        side.start(times)
    return [side.finish() for side in sides]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=0.7, help="how long a turn under load takes")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="of the worker; 0: all cores")
    parser.add_argument("--latencies", type=int, default=400, help="questions of one caller")
    arguments = parser.parse_args()
    threads = ("--threads", str(arguments.threads))
    with tempfile.TemporaryDirectory() as folder, real_server(store := Path(folder), *threads, *ANEW) as address:
        made = models(store)
        with backlit.connect(address) as server:
            for model in made:
                server.upload(model, name=model.stem)
        print(f"loaded: {arguments.callers} callers, {len(os.sched_getaffinity(0))} cores")
        print("                          images/s                  loaded over    processor ms an image")
        print("model                plain 1  plain 8  loaded  plain 1  plain 8  plain 1  worker  front  callers")
        for model in made:
            print_load(model, store, address, arguments)
        print("low load: one caller, who asks again when answered")
        print("                     engine ms        server ms        adds ms")
        print("model                    p50     p99     p50     p99     p50     p99")
        for model in made:
            print_latency(model, store, address, arguments.latencies)


def print_load(model: Path, store: Path, address: str, arguments: argparse.Namespace) -> None:
    with ExitStack() as stack:
        plain = [stack.enter_context(Side(SIDES, "plain", str(model), str(batch))) for batch in (1, LARGE)]
        callers = [stack.enter_context(Side(CALLER, address, model.stem)) for _ in range(arguments.callers)]
        serving = {name: [pid] for name, pid in server_processes(store).items()}
        contenders = (
            Contender(plain[:1], 1, {"plain": [plain[0].pid]}),
            Contender(plain[1:], LARGE, {}),
            Contender(callers, 1, {**serving, "callers": [caller.pid for caller in callers]}),
        )
        together(callers, 2)
        turns = [[each.turn(arguments.seconds) for each in contenders] for _ in range(arguments.turns)]
    rates = [statistics.median(turn.rate for turn in each) for each in zip(*turns, strict=True)]
    over = [statistics.median(turn[2].rate / turn[k].rate for turn in turns) for k in (0, 1)]
    spent = [statistics.median(turn[0].spent["plain"] for turn in turns)]
    spent += [statistics.median(turn[2].spent[name] for turn in turns) for name in ("worker", "front", "callers")]
    print(
        f"{model.stem:20} {rates[0]:7.1f} {rates[1]:8.1f} {rates[2]:7.1f} {over[0]:8.3f} {over[1]:8.3f} "
        f"{spent[0]:8.2f} {spent[1]:7.2f} {spent[2]:6.2f} {spent[3]:8.2f}",
        flush=True,
    )
    say("loaded", f"{model.stem}, {arguments.callers} callers", over[0])


def print_latency(model: Path, store: Path, address: str, count: int) -> None:
    """Quantiles of questions in turns of 20: what the server adds is the difference of the two sides' quantiles."""
    digest = stored(store, model)
    with (
        Side(SIDES, "best", str(store / "bare"), "1", f"{digest} {METHOD}") as engine,
        Side(CALLER, address, model.stem) as caller,
    ):
        found = {side: [] for side in (engine, caller)}
        for _ in range(1 + count // 20):
            for side, seconds in found.items():
                time.sleep(REST_SECONDS)
                side.run(2)
                seconds += side.run(20)
    milliseconds = [1e3 * np.percentile(seconds[20:], QUANTILES) for seconds in found.values()]
    figures = [*milliseconds[0], *milliseconds[1], *(milliseconds[1] - milliseconds[0])]
    print(f"{model.stem:20}" + "".join(f"{figure:8.2f}" for figure in figures), flush=True)
    for name, added in zip(("p50", "p99"), figures[4:], strict=True):
        say(name, model.stem, added)


if __name__ == "__main__":
    main()
