"""A weighted sum of maps as a matrix product: (features * weights).sum(1), twice as fast and half the memory."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backlit_server.graph.sym import Sym

CHANNELS = 1


def contracted(product: "Sym", axes: list[int] | None) -> "Sym | None":
    """The sum over the channels of maps times one weight a channel and row; None where the product is another."""
    if axes != [CHANNELS] or product.kind.shape is None or product.rank != 4:
        return None
    rows, channels, height, width = product.shape
    if not (isinstance(height, int) and isinstance(width, int)):
        return None
    factors = [type(product)(product.tape, name) for name in product.tape.factors(product.name)]
    maps = [x for x in factors if x.kind.shape == product.shape]
    weights = [x for x in factors if x.kind.shape == (rows, channels, 1, 1)]
    if not (maps and weights):
        return None
    # In a Reshape, 0 keeps a dimension.
    flat, row = maps[0].op("Reshape", [0, 0, -1]), weights[0].op("Reshape", [0, 1, -1])
    return row.op("MatMul", flat).op("Reshape", [0, height, width]).declared((rows, height, width))
