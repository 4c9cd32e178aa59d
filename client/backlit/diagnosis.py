"""A doctor's report as a page of text: the card, how gradients pass, what it costs."""

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from google.protobuf.json_format import ParseDict

from backlit.card import read_card
from backlit.tables import table
from backlit_proto import backlit_pb2 as pb

VERDICTS = ("all methods for such a model work", "some methods do not work", "this file cannot be explained")
PARTS = {
    "forward": "forward pass",
    "backbone": "backbone: up to the layer",
    "head": "head: layer to scores",
    "head_gradient": "gradient of the head",
}
UNITS = ("", " k", " M", " G", " T")


def shown(report: Mapping[str, Any]) -> str:
    """The page; sections for which there is nothing to say are left out."""
    page = StringIO()
    for lines in (_file, _card, _operators, _costs, _closed_forms, _verdict):
        for line in lines(report):
            print(line, file=page)
    return page.getvalue().rstrip()


def _file(report: Mapping[str, Any]) -> Iterator[str]:
    file = report["file"]
    yield file["name"]
    if "opsets" in file:
        opsets = ", ".join(f"{domain} {version}" for domain, version in file["opsets"].items())
        yield (
            f"{quantity(file['bytes'])}B, IR {file['ir_version']}, opsets: {opsets or 'none'}, "
            f"{file['producer'] or 'exporter unknown'}, {file['nodes']} nodes, {file['precision']} precision"
        )


def _card(report: Mapping[str, Any]) -> Iterator[str]:
    if "card" in report:
        yield ""
        yield str(read_card(ParseDict(report["card"], pb.Card(), ignore_unknown_fields=True)))


def _operators(report: Mapping[str, Any]) -> Iterator[str]:
    rows = [(row["operator"], str(row["count"]), _passage(row), row["reason"]) for row in report.get("operators", ())]
    if rows:
        yield ""
        yield table(("operator", "nodes", "gradient", ""), rows)
        used = {row["gradient"] for row in report["operators"]}
        yield from (f"{how}: {meaning}" for how, meaning in report["meanings"].items() if how in used)


def _passage(row: Mapping[str, Any]) -> str:
    return f"{row['gradient']}, in the way" if row["blocks"] else row["gradient"]


def _costs(report: Mapping[str, Any]) -> Iterator[str]:
    costs = report.get("costs", {})
    rows = [(PARTS[part], *_figures(costs[part])) for part in PARTS if part in costs]
    if rows:
        yield ""
        yield table(("with one image", "multiply-adds", "parameters", "tensors"), rows)
    if costs.get("grad_cam_over_forward"):
        yield f"a Grad-CAM takes {costs['grad_cam_over_forward']:.3f} times the multiply-adds of a forward pass"
    if left_out := costs.get("forward", {}).get("not_counted"):
        listed = ", ".join(f"{count} {op}" for op, count in left_out.items())
        yield f"not counted, for want of sizes: {listed}"


def _figures(cost: Mapping[str, Any]) -> Sequence[str]:
    return (
        quantity(cost["macs"]),
        f"{quantity(cost['parameter_bytes'])}B",
        f"{quantity(cost['activation_bytes'])}B",
    )


def _closed_forms(report: Mapping[str, Any]) -> Iterator[str]:
    forms = report.get("closed_forms", ())
    for form in forms if isinstance(forms, list) else ():
        yield ""
        yield f"closed form: {form['says']}; the gradients agree to {form['error']:.1e}"


def _verdict(report: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    refusal = report.get("refusal", {}).get("message", "")
    yield f"{VERDICTS[report['status']]}{f': {refusal}' if refusal else ''}"


def quantity(number: float) -> str:
    """Three digits and a unit: 385 M."""
    power = 0
    while number >= 999.5 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g}{UNITS[power] or ' '}"
