"""docs/growth.md, its plots, and the figures behind them."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = DOCS / "growth.json"
RATE = "images a second / plain forward"
COST = "cost / one plain forward pass"
INTRODUCTION = """\
# How cost grows

`make growth` measures and writes this page. Each point is the median of ratios over plain ONNX Runtime at its defaults,
on the same file and input and with as many threads, in a process of its own; the two take turns on the same cores.
Where no network is named it is one of ResNet-50's shape with random weights, asked one image of 224 pixels a side.
In the last panel callers, each a process with the Python client, and the server share the cores with the model.

![six plots of cost over a plain forward pass](growth.png)
"""


@dataclass(frozen=True)
class Line:
    """One line of a plot: where each point is, its ratio, and the milliseconds of the plain pass below it."""

    name: str
    x: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    plain_ms: list[float] = field(default_factory=list)

    def add(self, x: float, ratio: float, plain_ms: float) -> None:
        self.x.append(x)
        self.ratio.append(round(ratio, 3))
        self.plain_ms.append(round(plain_ms, 2))


@dataclass(frozen=True)
class Panel:
    """One plot: what its axis counts, where it was measured, and its lines."""

    axis: str
    machine: str
    lines: Sequence[Line]


def machine() -> str:
    """The machine and the versions that the figures hold for."""
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    versions = {name: metadata.version(name) for name in ("backlit", "numpy")}
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    runtime = next(f"{name} {installed[name]}" for name in ("onnxruntime-gpu", "onnxruntime") if name in installed)
    cores = len(os.sched_getaffinity(0))
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{model.partition(':')[2].strip()}, {cores} cores, {runtime} on the CPU, {told}"


def panels() -> dict[str, Panel]:
    """What was measured before, by name."""
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return {name: Panel(**told | {"lines": [Line(**line) for line in told["lines"]]}) for name, told in kept.items()}


def write(found: Mapping[str, Panel]) -> None:
    """The figures, the plots and the page."""
    FIGURES.write_text(json.dumps({name: asdict(panel) for name, panel in found.items()}, indent=1) + "\n")
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
    for ax, (name, panel) in zip(axes.flat, found.items(), strict=False):
        draw(ax, panel, RATE if name == "callers" else COST)
    figure.savefig(DOCS / "growth.png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    machines = sorted({panel.machine for panel in found.values()})
    tables = [table(panel, RATE if name == "callers" else COST) for name, panel in found.items()]
    (DOCS / "growth.md").write_text("\n".join([INTRODUCTION, *(f"- {each}" for each in machines), "", *tables]))


def draw(ax: Axes, panel: Panel, what: str) -> None:
    for line in panel.lines:
        ax.plot(line.x, line.ratio, marker="o", markersize=4, label=line.name)
    ax.set_xscale("log", base=2)
    ticks = sorted({x for line in panel.lines for x in line.x})
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.minorticks_off()
    ax.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    ax.set_ylim(0, 1.15 * max(1.0, *(r for line in panel.lines for r in line.ratio)))
    ax.set_xlabel(panel.axis)
    ax.set_ylabel(what)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")


def table(panel: Panel, what: str) -> str:
    """A row a line; in brackets the milliseconds of the plain pass."""
    columns = sorted({x for line in panel.lines for x in line.x})
    rows = [f"| {panel.axis}: {what} | {' | '.join(f'{x:g}' for x in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for line in panel.lines:
        at = {x: f"{r:.2f} ({ms:.1f} ms)" for x, r, ms in zip(line.x, line.ratio, line.plain_ms, strict=True)}
        rows.append(f"| {line.name} | {' | '.join(at.get(x, '') for x in columns)} |")
    return "\n".join(rows) + "\n"
