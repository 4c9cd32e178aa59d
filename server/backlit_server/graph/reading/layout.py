"""Which axis of an image input holds the channels: asked from the graph, and only then from the sizes."""

from backlit_server.graph.reading.layers import ANCHORS, NCHW, SCRAMBLERS, permutation
from backlit_server.graph.reading.wiring import Wiring

NHWC = "NHWC"
CHANNELS = (1, 3, 4)  # grey, colour, colour with transparency


def layout(wires: Wiring, name: str) -> str:
    """NCHW or NHWC, "" where the input is no image."""
    shape = wires.kinds[name].shape
    if shape is None or len(shape) != 4:
        return ""
    seen = _seen_by_first_anchor(wires, name)
    if seen in (NCHW, NHWC):
        return seen
    likely = {NCHW: shape[1] in CHANNELS, NHWC: shape[3] in CHANNELS}
    return next((order for order, plausible in likely.items() if plausible), "")


def _seen_by_first_anchor(wires: Wiring, name: str) -> str:
    """The input's own axes, as the first convolution or pooling behind moves and elementwise operators reads them."""
    order: dict[str, tuple[int, ...]] = {name: (0, 1, 2, 3)}  # tensor -> which axis of the input each of its axes is
    for node, names in zip(wires.nodes, wires.reads, strict=True):
        known = next((order[n] for n in names if n in order), None)
        if known is None or node.op_type in SCRAMBLERS:
            continue
        if node.op_type in ANCHORS:
            return "".join(NCHW[known.index(axis)] for axis in range(4))
        if node.op_type == "Transpose":
            known = tuple(known[k] for k in permutation(node, len(known)))
        order.update((made, known) for made in node.output if len(wires.kinds[made].shape or ()) == 4)
    return ""
