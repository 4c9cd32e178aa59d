"""Beside other libraries: the same network with the same random weights, the same input, as many threads, in turns.

Needs the extra `libraries`, and says so where it is missing; with --openvino-xai and --dianna, interpreters that have
those. Grad-CAM of the best class by pytorch-grad-cam and captum, each against the same maps by its profile, which are
compared first; openvino-xai's Recipro-CAM and dianna's RISE against ours. What a row compares is in library_sides.py.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

from bare import ask, stored
from device import engine as engine_on
from goals import GOALS, say
from library_sides import LAYERS, MASKS, images
from pairs import Side, compare
from points import Point

LIBRARIES = str(Path(__file__).parent / "library_sides.py")
POINTS = str(Path(__file__).parent / "points.py")
TURN_SECONDS = 0.3


@dataclass(frozen=True)
class Rival:
    """A library, the module that tells whether it is there, what it is asked, and what backlit is asked beside it."""

    name: str
    module: str
    batches: tuple[int, ...]
    ours: Point
    turns: int = 5
    same: bool = True  # its maps and ours are equal


RIVALS = (
    Rival("forward", "torchvision", (1, 8), Point("", (), "score", 1), same=False),
    Rival("pytorch-grad-cam", "pytorch_grad_cam", (1, 8), Point("", (), classes=1, profile="pytorch-grad-cam")),
    Rival("captum", "captum", (1, 8), Point("", (), classes=1, profile="captum")),
    Rival("openvino-xai", "openvino_xai", (1,), Point("", (), "recipro-cam", 1), same=False),
    Rival("dianna", "dianna", (1,), Point("", (), "rise", 1, parameters={"masks": MASKS}), turns=2, same=False),
)
HEADER = "network          batch library              its ms   ours ms  times  maps differ by"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openvino-xai", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--dianna", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--networks", nargs="*", default=list(LAYERS), choices=LAYERS)
    parser.add_argument("--only", nargs="*", default=[rival.name for rival in RIVALS])
    told = parser.parse_args()
    pythons = {"openvino-xai": told.openvino_xai, "dianna": told.dianna}
    print(f"{len(os.sched_getaffinity(0))} cores; `forward` is torch's forward pass beside our scores")
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        for name in told.networks if installed(sys.executable, "torchvision") else ():
            model = Path(folder) / f"{name}.onnx"
            subprocess.run([sys.executable, "-W", "ignore", LIBRARIES, "export", str(model), "1"], check=True)
            for rival in RIVALS:
                python = pythons.get(rival.name, sys.executable)
                if rival.name in told.only and installed(python, rival.module):
                    for batch in rival.batches:
                        print_row(rival, model, batch, python)


def installed(python: str, module: str) -> bool:
    """Whether it can be imported; says where it cannot."""
    said = f"import library_sides as sides; sides.imported({module!r})"
    tried = subprocess.run(
        [python, "-c", said], cwd=Path(LIBRARIES).parent, capture_output=True, text=True, check=False
    )
    if tried.returncode:
        print(f"{module} is not measured: {tried.stderr.strip().splitlines()[-1]}")
    return not tried.returncode


def print_row(rival: Rival, model: Path, batch: int, python: str) -> None:
    command = (LIBRARIES, rival.name, str(model), str(batch))
    apart = f"{difference(rival, command, model, batch, python):.1e}" if rival.same else ""
    point = json.dumps([asdict(replace(rival.ours, model=str(model), shape=(batch, 3, 224, 224)))])
    with (
        Side(*command, python=python) as theirs,
        Side(POINTS, "engine", str(model.parent), point) as ours,
    ):
        theirs.run(1)
        times = max(1, round(TURN_SECONDS / max(theirs.run(1))))
        pair = compare(ours, theirs, rival.turns, times)
    print(
        f"{model.stem:16} {batch:5} {rival.name:17} {pair.theirs:9.2f} {pair.ours:9.2f} {1 / pair.ratio:6.2f}  {apart}",
        flush=True,
    )
    if rival.name in GOALS:
        say(rival.name, f"{model.stem}, batch {batch}", 1 / pair.ratio)


def difference(rival: Rival, command: tuple[str, ...], model: Path, batch: int, python: str) -> float:
    """How far its maps and ours are apart."""
    theirs = saved(python, command, model.parent)
    answers = ask(
        engine_on(model.parent),
        stored(model.parent, model),
        images(batch),
        rival.ours.method,
        profile=rival.ours.profile,
    )
    return apart(np.stack([heatmap for _, heatmap in answers]), theirs)


def saved(python: str, command: Sequence[str], folder: Path) -> np.ndarray:
    """The maps that a side writes when it is told to."""
    file = folder / "maps.npy"
    subprocess.run([python, "-W", "ignore", *command, "--save", str(file)], check=True)
    return np.load(file)


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of maps, as a share of the range of each map."""
    return float((np.abs(ours - theirs).max((1, 2)) / np.ptp(theirs, (1, 2))).max())


if __name__ == "__main__":
    main()
