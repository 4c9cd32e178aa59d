"""A row of VJPS for an operator that is written with others: its gradients are theirs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Definition:
    """formula(*inputs, **attributes) computes what the operator computes, by operators that have rules of their own.

    The operator itself stays in the model; the formula is recorded behind it, and the walk goes back through it to the
    inputs that are asked for. What that does not need is dropped with all else that nobody reads.
    """

    formula: Callable[..., Any]
