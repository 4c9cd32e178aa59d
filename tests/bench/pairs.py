"""Fair pairs: two processes that take turns on the same cores, compared turn by turn.

Each side lives in a process of its own, so that thread pools do not disturb each other, and
only one side runs at a time. A machine that is slow for a while is slow for both: the
figure to quote is the median of the ratios.
"""

import json
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

REST_SECONDS = 0.15
ANEW = ("--features-mb", "0")  # the same image again and again: no forward pass may be remembered


@dataclass(frozen=True)
class Pair:
    """Medians in milliseconds, and the median of the ratios of one turn to the next."""

    ours: float
    theirs: float
    ratio: float


class Runs(Protocol):
    """What can be timed."""

    def run(self, times: int) -> list[float]: ...


class Side:
    """A process that reads on standard input which of its actions to run how often, and answers with the seconds."""

    def __init__(self, *command: str, python: str = sys.executable) -> None:
        self._process = subprocess.Popen([python, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, times: int) -> list[float]:
        """Seconds of each of so many runs."""
        self.start(times)
        return self.finish()

    def start(self, times: int) -> None:
        """Lets the runs of the first action begin, and does not wait for them."""
        self._say(times, 0)

    def run_part(self, part: int, times: int) -> list[float]:
        """As run(), of any of its actions."""
        self._say(times, part)
        return self.finish()

    def _say(self, times: int, part: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times} {part}\n")
        self._process.stdin.flush()

    @property
    def answered(self) -> bool:
        """Whether finish() need not wait."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def finish(self) -> list[float]:
        """Seconds of each run that was started."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("a side of the benchmark ended early")
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Part:
    """One action of a side that has several."""

    side: Side
    number: int

    def run(self, times: int) -> list[float]:
        return self.side.run_part(self.number, times)


def _turn(side: Runs, times: int) -> float:
    """The median of a turn, once the other side's threads have stopped spinning (about 40 ms after its last run)."""
    time.sleep(REST_SECONDS)
    side.run(1)
    return statistics.median(side.run(times))


def serve(*actions: Callable[[], object]) -> None:
    """The other end of a Side: runs an action as often as each line of standard input says."""
    for line in sys.stdin:
        times, part = map(int, line.split())
        print(json.dumps([_timed(actions[part]) for _ in range(times)]), flush=True)


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(ours: Runs, theirs: Runs, turns: int, times: int) -> Pair:
    """Alternating turns of `times` runs each, after one turn of warm-up that is not counted."""
    ours.run(times)
    theirs.run(times)
    turn = [(_turn(theirs, times), _turn(ours, times)) for _ in range(turns)]
    return Pair(
        ours=1e3 * statistics.median(o for _, o in turn),
        theirs=1e3 * statistics.median(t for t, _ in turn),
        ratio=statistics.median(o / t for t, o in turn),
    )
