"""The Grafana dashboard asks for what there is: its expressions by a parser of PromQL, its names beside the tables."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from backlit_server.service.figures import FIGURES
from backlit_server.service.metrics import COUNTERS, GAUGES, HISTOGRAMS

DASHBOARD = json.loads((Path(__file__).parents[1] / "docs" / "dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
SCRAPED = {"instance"}  # what Prometheus itself adds
PARTS = ("bucket", "sum", "count")  # of a histogram
SHOWN = {
    **{name: {*row.labels} for name, row in (COUNTERS | GAUGES | FIGURES).items()},
    **{f"{name}_{part}": {*row.labels, "le"} for name, row in HISTOGRAMS.items() for part in PARTS},
    "process_resident_memory_bytes": set(),
}
"""The labels of every sample that the server shows, by its name."""


def parsed(expression: str) -> Any:
    """The expression with Grafana's variables as they would be filled in."""
    return promql.parse(expression.replace("$__rate_interval", "1m").replace("$", "any-"))


def selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """The names that are asked for, each with the labels that choose among its series."""
    if isinstance(node, promql.VectorSelector):
        yield str(node.name), {matcher.name for matcher in node.matchers.matchers}
    for inside in ("expr", "lhs", "rhs", "vector_selector"):
        if hasattr(node, inside):
            yield from selectors(getattr(node, inside))
    for argument in getattr(node, "args", ()):
        yield from selectors(argument)


def groupings(node: Any) -> Iterator[tuple[set[str], Any]]:
    """Every `by (...)`, with what is grouped."""
    if isinstance(node, promql.AggregateExpr) and node.modifier:
        yield set(node.modifier.labels), node.expr
    for inside in ("expr", "lhs", "rhs"):
        if hasattr(node, inside):
            yield from groupings(getattr(node, inside))
    for argument in getattr(node, "args", ()):
        yield from groupings(argument)


EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_series_and_labels_that_there_are(expression):
    tree = parsed(expression)
    for name, labels in selectors(tree):
        assert labels <= SHOWN[name] | SCRAPED
    for labels, grouped in groupings(tree):
        assert all(labels <= SHOWN[name] | SCRAPED for name, _ in selectors(grouped))
    assert set(re.findall(r"\$(?!__)(\w+)", expression)) <= VARIABLES


def test_whatever_is_counted_is_shown():
    asked = {name for expression in EXPRESSIONS for name, _ in selectors(parsed(expression))}
    queries = [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    asked |= set(re.findall(r"backlit_\w+", json.dumps(queries)))
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    assert families >= (COUNTERS | GAUGES | HISTOGRAMS | FIGURES).keys()


def test_a_legend_names_labels_that_are_left():
    for target in (target for panel in PANELS for target in panel["targets"]):
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        groups = list(groupings(parsed(target["expr"])))
        assert not groups or named <= groups[0][0], target["expr"]


def test_panels_have_numbers_of_their_own_and_lie_beside_one_another():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = [cells(panel["gridPos"]) for panel in DASHBOARD["panels"]]
    assert all(0 <= x < 24 for panel in taken for x, _ in panel)
    assert not any(one & other for one, other in itertools.combinations(taken, 2))


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return set(itertools.product(columns, lines))


def test_every_panel_asks_the_data_source_that_was_chosen():
    sources = [found["datasource"] for panel in PANELS for found in (panel, *panel["targets"])]
    assert {source["uid"] for source in sources} == {"${datasource}"}
