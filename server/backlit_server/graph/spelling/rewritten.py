"""What of a model was written anew before anything was differentiated: noted in its own metadata, told on its card."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto

from backlit_server.graph.gradient_path import label
from backlit_server.graph.lowering.table import QUANTISED
from backlit_server.graph.reading.wiring import Wiring
from backlit_server.graph.vjp import ROUNDED

PROPERTY = "backlit.rewritten/"  # before an operator, in the metadata: how many of its nodes were written anew


@dataclass(frozen=True)
class Arithmetic:
    """How a model computes, and what of it was written anew, in words: "26 QLinearConv dequantised".

    `quantised`: tensors on the way are rounded; gradients are those of the dequantised arithmetic, as if nothing
    were rounded (straight through; Bengio et al. 2013), and zero where a value was cut off.
    """

    quantised: bool
    rewritten: tuple[str, ...]


def note(model: ModelProto, found: Mapping[str, int]) -> None:
    """Writes into the model how many nodes of which operators were written anew, in place."""
    for op, count in found.items():
        model.metadata_props.add(key=PROPERTY + op, value=str(count))


def arithmetic(model: ModelProto, wires: Wiring) -> Arithmetic:
    """What was noted in a canonical model, and which of its operators round tensors that depend on the input."""
    noted = {p.key.removeprefix(PROPERTY): p.value for p in model.metadata_props if p.key.startswith(PROPERTY)}
    rounding = [label(n) for n in wires.nodes if label(n) in ROUNDED and not wires.constants.issuperset(n.output)]
    words = [f"{count} {op} {'dequantised' if op in QUANTISED else 'written out'}" for op, count in noted.items()]
    words += [f"{rounding.count(op)} {op} passed straight through" for op in dict.fromkeys(rounding)]
    return Arithmetic(bool(rounding) or not QUANTISED.keys().isdisjoint(noted), tuple(words))
