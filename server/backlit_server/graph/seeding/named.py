"""SEEDINGS: what methods ask for by name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backlit_server.graph.overlays.named import RULES
from backlit_server.graph.seeding.attention import attention_gradients, attentions
from backlit_server.graph.seeding.differences import differences
from backlit_server.graph.seeding.own import own
from backlit_server.graph.seeding.relevance import relevance
from backlit_server.graph.seeding.seeded import Seeded, by_rules, without_gradients

WEIGHTS = "weights"  # of pooling and one linear layer, instead of gradients
SEEDINGS: Mapping[str, Callable[..., Seeded]] = {
    **{name: by_rules(table) for name, table in RULES.items()},
    WEIGHTS: without_gradients,
    "lrp": relevance,
    "deep-lift": differences,
    "full-grad": own,
    "le-grad": attention_gradients,
    "attention-rollout": attentions,
}
"""A row takes a head, its layer and its scores. By name it takes what it depends on: parameters of the method, and
`views`, how tensors are read as maps."""

NARROW = frozenset(RULES) | {WEIGHTS}
"""Those that can do with the weights of the asked classes alone; others look at the weights themselves."""


def common(names: Iterable[str]) -> str:
    """The one seeding that gives what several NARROW ones do, the first but for WEIGHTS: any other gives these too."""
    return next((name for name in names if name != WEIGHTS), WEIGHTS)


def taken(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a row takes by name, of what there is."""
    wanted = inspect.signature(SEEDINGS[name]).parameters.values()
    return {p.name: given[p.name] for p in wanted if p.name in given}


EXACT = frozenset(RULES) | {"full-grad", "le-grad", "attention-rollout"}
"""Those that are refused where exact gradients are, and nowhere else: they are made of these, or by tables that have a
row wherever there is an exact one."""
