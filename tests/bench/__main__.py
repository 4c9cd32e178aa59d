"""Every script of this folder in turn, and in the end the figures that have a goal: `python tests/bench [NAME ...]`."""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goals import MARK

FOLDER = Path(__file__).parent
ASIDE = ("growth", "libraries", "triton")  # minutes of plots, packages that are not there by default: by name alone


def main() -> int:
    names = [script.stem.removeprefix("bench_") for script in sorted(FOLDER.glob("bench_*.py"))]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; default: all but {', '.join(ASIDE)}"
    )
    chosen = parser.parse_args().names or [name for name in names if name not in ASIDE]
    outcomes = [run(name) for name in chosen]
    print("\nfigures with a goal")
    for outcome in outcomes:
        print("".join(outcome.figures), end="")
    return sum(outcome.status != 0 for outcome in outcomes)


@dataclass(frozen=True)
class Outcome:
    """How a script ended, and its lines about figures with a goal."""

    status: int
    figures: Sequence[str]


def run(name: str) -> Outcome:
    """Runs a script, and passes on what it prints."""
    print(f"\n{name}", flush=True)
    started, figures = time.monotonic(), []
    with subprocess.Popen([sys.executable, str(FOLDER / f"bench_{name}.py")], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout
        for line in one.stdout:
            print(line, end="", flush=True)
            if line.startswith(MARK):
                figures.append(line.removeprefix(MARK))
    print(f"{name} took {time.monotonic() - started:.0f} s")
    return Outcome(one.returncode, figures)


if __name__ == "__main__":
    sys.exit(main())
