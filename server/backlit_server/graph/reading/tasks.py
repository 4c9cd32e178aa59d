"""What scores are for: recognised by their shape, by what stands behind them and by what leads to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backlit_server.graph.reading.detectors import Detector
from backlit_server.graph.reading.wayback import Origin
from backlit_server.graph.reading.wiring import Wiring

CLASSIFICATION = "classification"
DETECTION = "detection"
SEGMENTATION = "segmentation"
REGRESSION = "regression"
EMBEDDING = "embedding"
OTHER = "other"
NEURONS = "neurons"  # of an inner tensor that a question looks at
SIGMOID = "Sigmoid"
# How far from a division its norm may be computed, in nodes.
NEAR = 8
NORMS = frozenset(("ReduceL2", "ReduceSumSquare"))


@dataclass(frozen=True)
class Task:
    """What scores are for, and why that is thought.

    `axes`: what each axis after the batch counts (classes C, anchors A, height H, width W), "" where that is not known.
    `boxes`, `kept`, `centred`: as in Detector, for detection.
    """

    kind: str
    axes: str
    why: str
    boxes: str = ""
    kept: str = ""
    centred: bool | None = None


@dataclass(frozen=True)
class Asked:
    """A tensor of scores and what is known of it; `sizes` are those after the batch."""

    wires: Wiring
    found: Origin
    sizes: tuple[int | str, ...]
    axes: str
    head: Detector | None


def task(wires: Wiring, found: Origin, axes: Mapping[str, str], head: Detector | None) -> Task:
    """The task of the first row that recognises it; `axes` as in anatomy."""
    kind = wires.kinds.get(found.name)
    sizes = tuple(kind.shape or ())[1:] if kind else ()
    asked = Asked(wires, found, sizes, axes.get(found.name, "")[1:], head)
    return next(made for recognise in RECOGNISED if (made := recognise(asked)) is not None)


def number_of_values(wires: Wiring, name: str) -> int | None:
    """How many values an image has, where the file says it."""
    product = 1
    for size in (wires.kinds[name].shape or ())[1:]:
        if not isinstance(size, int):
            return None
        product *= size
    return product


def _detection(asked: Asked) -> Task | None:
    head, order = asked.head, asked.found.order
    if head is None:
        return None
    axes = ("N" + head.axes) if order is not None else ""
    turned = "".join(axes[k] for k in order or ())[1:]
    why = head.why if asked.found.activation == "Softmax" else f"{head.why}; without a Softmax no class is background"
    return Task(DETECTION, turned, why, head.boxes, head.kept, head.centred)


def _map(asked: Asked) -> Task | None:
    """Scores with height and width."""
    if not asked.axes or asked.sizes[asked.axes.index("H")] == asked.sizes[asked.axes.index("W")] == 1:
        return None
    if asked.sizes[asked.axes.index("C")] == 1 and asked.found.activation != SIGMOID:
        return Task(REGRESSION, asked.axes, "one number a place, with no sigmoid behind it")
    return Task(SEGMENTATION, asked.axes, "one score a class and place; a class that stands for the background is one")


def _one_number(asked: Asked) -> Task | None:
    if not asked.sizes or any(size != 1 for size in asked.sizes) or asked.found.activation:
        return None
    return Task(REGRESSION, "", "one number an image, with no sigmoid behind it")


def _embedding(asked: Asked) -> Task | None:
    if not _vector(asked) or asked.found.activation:
        return None
    if _normalised(asked.wires, asked.found.name):
        return Task(EMBEDDING, "", f"{asked.found.name!r} is brought to length 1")
    said = [name for name in asked.wires.outputs if "embed" in name.lower() and name == asked.found.name]
    return Task(EMBEDDING, "", f"its name says so: {said[0]!r}") if said else None


def _classification(asked: Asked) -> Task | None:
    if not _vector(asked):
        return None
    if asked.found.activation:
        return Task(CLASSIFICATION, "C", f"one score a class, behind which {asked.found.activation} stands")
    return Task(CLASSIFICATION, "C", "one value each for several classes, as it seems: nothing stands behind them")


def _other(asked: Asked) -> Task:
    shape = ", ".join(str(size) for size in asked.sizes)
    return Task(OTHER, "", f"[{shape}] values an image, of which it is not known what they stand for")


RECOGNISED: tuple[Callable[[Asked], Task | None], ...] = (
    _detection,
    _map,
    _one_number,
    _embedding,
    _classification,
    _other,
)


def _vector(asked: Asked) -> bool:
    """Whether an image has one axis of values; axes of size 1 do not count, nor do sizes that are not known."""
    kind = asked.wires.kinds.get(asked.found.name)
    unknown = kind is None or kind.shape is None
    return unknown or sum(size != 1 for size in asked.sizes) <= 1


def _normalised(wires: Wiring, name: str) -> bool:
    """Whether a tensor is something divided by its own length."""
    node = wires.nodes[wires.maker[name]] if name in wires.maker else None
    if node is None or node.op_type not in ("Div", "LpNormalization", "Mul"):
        return node is not None and node.op_type in ("Identity", "Reshape") and _normalised(wires, node.input[0])
    return node.op_type == "LpNormalization" or any(
        _is_length_of(wires, node.input[k], node.input[1 - k]) for k in ((1,) if node.op_type == "Div" else (0, 1))
    )


def _is_length_of(wires: Wiring, length: str, vector: str) -> bool:
    """Whether a norm of the vector is computed a few nodes before."""
    names = {length}
    for _ in range(NEAR):
        makers = [wires.nodes[wires.maker[name]] for name in names if name in wires.maker]
        if any(_norm_of(wires, node, vector) for node in makers):
            return True
        names = {name for node in makers for name in node.input if name and name not in wires.constants}
    return False


def _norm_of(wires: Wiring, node, vector: str) -> bool:
    if node.op_type in NORMS:
        return vector == node.input[0]
    if node.op_type != "ReduceSum" or node.input[0] not in wires.maker:
        return False
    squared = wires.nodes[wires.maker[node.input[0]]]
    return squared.op_type in ("Mul", "Pow") and squared.input[0] == vector
