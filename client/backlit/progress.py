"""How far a long piece of work has come, on stderr: a bar at a terminal, lines elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec

Report = Callable[[float, float], None]  # done, total
STEPS = 4  # lines a piece of work, where there is no bar


@contextlib.contextmanager
def shown(title: str) -> Iterator[Report]:
    """Shows what is reported until the work is left; any thread may report."""
    way = _bar if sys.stderr.isatty() and find_spec("rich") else _lines
    with way(title) as report:
        yield report


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda done, total: progress.update(task, completed=done / max(total, 1))


@contextlib.contextmanager
def _lines(title: str) -> Iterator[Report]:
    said: list[int] = []

    def report(done: float, total: float) -> None:
        step = int(STEPS * done / max(total, 1))
        if step not in (0, *said):
            said.append(step)
            print(f"{title}: {100 * step // STEPS} %", file=sys.stderr)

    yield report
