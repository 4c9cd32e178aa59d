"""Tables for people: drawn by rich at a terminal, where it is installed, plain columns elsewhere."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from io import StringIO


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows below their titles."""
    way = _drawn if sys.stdout.isatty() and find_spec("rich") else plain
    return way(titles, rows)


def plain(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [titles, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _drawn(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(*map(escape, titles), box=SIMPLE_HEAD)
    for row in rows:
        drawn.add_row(*map(escape, row))
    page = StringIO()
    Console(file=page, force_terminal=True).print(drawn)
    return page.getvalue().rstrip("\n")
