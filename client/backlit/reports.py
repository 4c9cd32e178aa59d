"""A comparison as people and programs read it: a table, Markdown, CSV, JSON."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

from backlit.comparison import CONTEXT, Comparison, Mean
from backlit.tables import table

ARROWS = {"higher": " ↑", "lower": " ↓"}
SHORT = 12  # digits of a digest


def printed(found: Comparison) -> str:
    """The table for a terminal, and what the numbers go with."""
    return "\n".join([table(*_cells(found)), "", *context_lines(found)])


def markdown(found: Comparison) -> str:
    """The same for a page."""
    titles, rows = _cells(found)
    rule = ["---", *["---:"] * (len(titles) - 1)]
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, rule, *rows)]
    return "\n".join([*lines, "", *(f"- {line}" for line in context_lines(found)), ""])


def context_lines(found: Comparison) -> list[str]:
    """What numbers cannot be compared without: pictures, and the parameters of each measure."""
    skipped = f"; {len(found.skipped)} skipped" if found.skipped else ""
    over = f"mean ± standard error over {len(found.pictures)} pictures{skipped}; image list {found.images[:SHORT]}"
    told = [f"{name}: {_words(found.context(name))}" for name in found.measures if found.context(name)]
    return [f"model {found.model[:SHORT]}; {over}", *told]


def write(found: Comparison, folder: Path) -> list[Path]:
    """The files of a comparison: means and values as CSV, everything as JSON, the table as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("means.csv", "values.csv", "comparison.json", "comparison.md")}
    _csv(files["means.csv"], means(found))
    _csv(files["values.csv"], values(found))
    everything = {"model": found.model, "images": found.images, "pictures": list(found.pictures)}
    everything |= {"skipped": dict(found.skipped), "means": means(found), "values": values(found)}
    files["comparison.json"].write_text(json.dumps(everything, indent=1), "utf-8")
    files["comparison.md"].write_text(markdown(found), "utf-8")
    return list(files.values())


def means(found: Comparison) -> list[dict[str, object]]:
    """One row a method and measure, each with all that its number goes with."""
    return [
        {"method": method, "measure": measure, **_finite(vars(found.mean(method, measure))), **_context(found, measure)}
        for method in found.methods
        for measure in found.measures
    ]


def values(found: Comparison) -> list[dict[str, object]]:
    """One row a picture, method, target and measure."""
    return [
        {
            "picture": v.picture,
            "method": v.method,
            "target": v.target,
            "status": v.status,
            "measure": v.measure,
            **_finite({"value": v.measurement.value}),
            "facts": json.dumps(_finite(v.measurement.facts)),
            **_context(found, v.measure),
        }
        for v in found.values
    ]


def _context(found: Comparison, measure: str) -> dict[str, object]:
    parameters = found.context(measure)
    target = parameters.pop("target", "")
    told = {name: parameters.get(name, "") for name in CONTEXT}
    rest = json.dumps({name: value for name, value in parameters.items() if name not in CONTEXT})
    over = {"images": found.images, "pictures": len(found.pictures), "model": found.model}
    return {**told, "target_choice": target, "parameters": rest, **over}


def _cells(found: Comparison) -> tuple[list[str], list[list[str]]]:
    titles = ["method", *(name + ARROWS.get(found.better[name], "") for name in found.measures)]
    return titles, [[method, *(_cell(found.mean(method, name)) for name in found.measures)] for method in found.methods]


def _cell(told: Mean) -> str:
    if not told.count:
        return "-"
    error = "" if math.isnan(told.error) else f" ± {told.error:.2g}"
    return f"{told.mean:.4g}{error}"


def _words(context: dict[str, object]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in context.items())


def _short(value: object) -> str:
    """JSON knows one kind of number: whole ones are told as such."""
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _finite(row: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is missing is null."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _csv(file: Path, rows: Sequence[dict[str, object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, rows[0] if rows else [])
        writer.writeheader()
        writer.writerows(rows)
