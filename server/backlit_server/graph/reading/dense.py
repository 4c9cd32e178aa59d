"""Dense heads: what a head makes of an image once its maps have become one vector."""

from collections.abc import Collection, Container

from backlit_server.graph.reading.wiring import Wiring

DENSE = frozenset(("Gemm", "MatMul"))
PRODUCTS = DENSE | {"Conv", "ConvTranspose", "DeformConv", "Einsum", "LSTM", "GRU", "RNN"}


def vectors(wires: Wiring, below: Collection[int], batched: Container[str]) -> tuple[str, ...]:
    """The vectors between the dense layers of a head, the nodes `below`; none where it has other products.

    Thousands of numbers an image, and whoever has them need not read the weights that make them: most of VGG's file.
    """
    products = [k for k in sorted(below) if _learned(wires, k)]
    if any(wires.nodes[k].op_type not in DENSE or not _vector(wires, wires.nodes[k].input[0]) for k in products):
        return ()
    behind = wires.downstream(name for k in products for name in wires.nodes[k].output) | {*products}
    before = wires.upstream(name for k in products for name in wires.reads[k])
    made = [name for k in sorted(behind & before) for name in wires.nodes[k].output]
    return tuple(name for name in made if name in batched and _vector(wires, name))


def _learned(wires: Wiring, k: int) -> bool:
    """Whether a node multiplies with weights."""
    return wires.nodes[k].op_type in PRODUCTS and not wires.constants.isdisjoint(wires.reads[k])


def _vector(wires: Wiring, name: str) -> bool:
    return wires.float(name) and len(wires.kinds[name].shape or ()) == 2
