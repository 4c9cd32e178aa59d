"""How cost grows with image size, batch, classes asked, layers, model depth and callers: docs/growth.md and its plots.

    python tests/bench/bench_growth.py [PANEL ...]

measures these panels (default: all) and draws all of them, the others by what was measured before. Each point is a
median of ratios over plain ONNX Runtime on the same file and input, turn by turn (pairs.py).
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import backlit
import efficientnet_lite0
from bench_load import CALLER, Contender, together
from growth_page import Line, Panel, machine, panels, write
from pairs import ANEW, Part, Side, compare
from points import Point
from real_server import real_server
from resnet50 import BLOCKS, resnet

POINTS = str(Path(__file__).parent / "points.py")
TURNS = 5
TURN_SECONDS = 0.25
SIZES = (112, 160, 224, 320, 448)
IMAGES = (1, 2, 4, 8, 16)
CLASSES = (1, 5, 25, 100, 1000)
LAYERS = (1, 2, 4, 8)
DEPTHS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: BLOCKS, 101: (3, 4, 23, 3)}
CALLERS = (1, 2, 4, 8, 16)
METHODS = {"Grad-CAM, top 5": Point("", (), "grad-cam"), "saliency": Point("", (), "saliency", 1)}
LOADED_SECONDS = 0.7

Asked = Iterator[tuple[str, float, Point]]  # the line, where on the axis, the question


def sizes(folder: Path) -> Asked:
    resnet(folder / "free.onnx", BLOCKS, ["H", "W"])
    for size in SIZES:
        for name, point in METHODS.items():
            yield name, size, replace(point, model=str(folder / "free.onnx"), shape=(1, 3, size, size))


def batches(folder: Path) -> Asked:
    resnet(folder / "resnet.onnx", BLOCKS, [224, 224])
    for images in IMAGES:
        for name, point in METHODS.items():
            yield name, images, replace(point, model=str(folder / "resnet.onnx"), shape=(images, 3, 224, 224))


def classes(folder: Path) -> Asked:
    efficientnet_lite0.build(folder / "lite.onnx")
    resnet(folder / "resnet.onnx", BLOCKS, [224, 224])
    for name, file in (("EfficientNet-Lite0", "lite"), ("ResNet-50", "resnet")):
        for count in CLASSES:
            yield name, count, Point(str(folder / f"{file}.onnx"), (1, 3, 224, 224), "grad-cam", count)


def layers(folder: Path) -> Asked:
    resnet(folder / "resnet.onnx", BLOCKS, [224, 224])
    names = [f"layer{stage}.{block}.add.relu" for stage in (4, 3, 2, 1) for block in reversed(range(BLOCKS[stage - 1]))]
    for count in LAYERS:
        yield "Grad-CAM", count, Point(str(folder / "resnet.onnx"), (1, 3, 224, 224), "grad-cam", 1, names[:count])


def depths(folder: Path) -> Asked:
    for depth, blocks in DEPTHS.items():
        resnet(folder / f"{depth}.onnx", blocks, [224, 224])
        for name, point in METHODS.items():
            yield name, depth, replace(point, model=str(folder / f"{depth}.onnx"), shape=(1, 3, 224, 224))


def over_plain(asked: Callable[[Path], Asked]) -> list[Line]:
    """The lines of a panel: the bare engine over a plain forward pass."""
    lines: dict[str, Line] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = list(asked(Path(folder)))
        said = json.dumps([asdict(point) for _, _, point in rows])
        with Side(POINTS, "plain", folder, said) as plain, Side(POINTS, "engine", folder, said) as engine:
            for number, (name, x, _) in enumerate(rows):
                ours, theirs = Part(engine, number), Part(plain, number)
                ours.run(1)  # opens the sessions
                times = max(1, round(TURN_SECONDS / max(ours.run(2))))
                pair = compare(ours, theirs, TURNS, times)
                lines.setdefault(name, Line(name)).add(x, pair.ratio, pair.theirs)
    return list(lines.values())


def callers() -> list[Line]:
    """Images a second of a loaded server over those of a plain forward pass, one image at a time."""
    names = {"EfficientNet-Lite0": efficientnet_lite0.build, "ResNet-50": lambda file: resnet(file, BLOCKS, [224, 224])}
    with tempfile.TemporaryDirectory() as folder, real_server(Path(folder), *ANEW) as address:
        return [_loaded(name, build, Path(folder) / f"{name}.onnx", address) for name, build in names.items()]


def _loaded(name: str, build: Callable[[Path], object], file: Path, address: str) -> Line:
    build(file)
    with backlit.connect(address) as server:
        server.upload(file, name=name)
    line, point = Line(name), json.dumps([asdict(Point(str(file), (1, 3, 224, 224)))])
    with ExitStack() as stack:
        plain = Contender([stack.enter_context(Side(POINTS, "plain", str(file.parent), point))], 1, {})
        asking = [stack.enter_context(Side(CALLER, address, name)) for _ in range(max(CALLERS))]
        together(asking, 1)
        for count in CALLERS:
            loaded = Contender(asking[:count], 1, {})
            turns = [[each.turn(LOADED_SECONDS).rate for each in (plain, loaded)] for _ in range(TURNS)]
            line.add(count, statistics.median(b / a for a, b in turns), 1e3 / statistics.median(a for a, _ in turns))
    return line


PANELS: dict[str, tuple[str, Callable[[], Sequence[Line]]]] = {
    "size": ("pixels a side of the image", lambda: over_plain(sizes)),
    "batch": ("images in a batch", lambda: over_plain(batches)),
    "classes": ("classes asked", lambda: over_plain(classes)),
    "layers": ("layers asked", lambda: over_plain(layers)),
    "depth": ("layers with weights", lambda: over_plain(depths)),
    "callers": ("callers at once", callers),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("panels", nargs="*", metavar="PANEL", help=f"of {', '.join(PANELS)}; default: all")
    found = panels()
    for name in parser.parse_args().panels or PANELS:
        axis, measure = PANELS[name]
        found[name] = Panel(axis, machine(), measure())
        print(name, *found[name].lines, sep="\n", flush=True)
    write({name: found[name] for name in PANELS if name in found})


if __name__ == "__main__":
    main()
