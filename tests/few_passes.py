"""Of methods that repeat themselves a few passes do, where a test asks all of them."""

from collections.abc import Iterable
from typing import Any

FEW = {"masks": 20, "samples": 20, "segments": 8, "steps": 4}


def few(parameters: Iterable[Any]) -> dict[str, Any]:
    """What to ask for, of a method with these parameters: names and defaults as server and client tell them."""
    return {p.name: FEW[p.name] for p in parameters if p.name in FEW and repeated(p.default) > FEW[p.name]}


def repeated(default: object) -> int:
    """How often, where that is what a parameter says."""
    return default if isinstance(default, int) else 0
