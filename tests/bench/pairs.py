"""Fair pairs: two processes that take turns on the same cores, compared turn by turn.

Each side lives in a process of its own, so that thread pools do not disturb each other, and
only one side runs at a time. A machine that is slow for a while is slow for both: the
figure to quote is the median of the ratios.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

REST_SECONDS = 0.15
ANEW = ("--features-mb", "0")  # the same image again and again: no forward pass may be remembered


@dataclass(frozen=True)
class Pair:
    """Medians in milliseconds, and the median of the ratios of one turn to the next."""

    ours: float
    theirs: float
    ratio: float


class Side:
    """A process that waits for a word on standard input, runs its action once, and answers with the seconds it took."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, times: int) -> list[float]:
        """Seconds of each of so many runs."""
        self.start(times)
        return self.finish()

    def start(self, times: int) -> None:
        """Lets the runs begin, and does not wait for them."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()

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


def _turn(side: Side, times: int) -> float:
    """The median of a turn, once the other side's threads have stopped spinning (about 40 ms after its last run)."""
    time.sleep(REST_SECONDS)
    side.run(1)
    return statistics.median(side.run(times))


def serve(action: Callable[[], object]) -> None:
    """The other end of a Side: runs the action as often as each line of standard input says."""
    for line in sys.stdin:
        print(json.dumps([_timed(action) for _ in range(int(line))]), flush=True)


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(ours: Side, theirs: Side, turns: int, times: int) -> Pair:
    """Alternating turns of `times` runs each, after one turn of warm-up that is not counted."""
    ours.run(times)
    theirs.run(times)
    turn = [(_turn(theirs, times), _turn(ours, times)) for _ in range(turns)]
    return Pair(
        ours=1e3 * statistics.median(o for _, o in turn),
        theirs=1e3 * statistics.median(t for t, _ in turn),
        ratio=statistics.median(o / t for t, o in turn),
    )
