"""Operators that multiply and sum, each as an einsum equation: which axes it sums over, and where the others go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

from onnx import NodeProto

from backlit_server.graph.reading.sized import Sized
from backlit_server.graph.recording.schema import attributes_of

KEPT = ascii_uppercase  # letters of axes of one that stay where a sum was


@dataclass(frozen=True)
class Equation:
    """The axes of the first inputs (`terms`) and of the result, a letter each; what is not in the result is summed."""

    terms: tuple[str, ...]
    result: str


def equation(node: NodeProto, sized: Sized) -> Equation | None:
    """The equation of a node; None where it has none, or its ranks are not known."""
    if node.op_type not in EQUATIONS or any(name not in sized.shapes for name in node.input[:1]):
        return None
    return EQUATIONS[node.op_type](node, sized)


def _matmul(node: NodeProto, sized: Sized) -> Equation | None:
    ranks = [len(sized.shapes.get(name, ())) for name in node.input]
    if min(ranks) < 2:
        return None
    batch = ascii_lowercase[: max(ranks) - 2]
    first, second = (batch[len(batch) - (rank - 2) :] for rank in ranks)
    return Equation((f"{first}xy", f"{second}yz"), f"{batch}xz")


def _gemm(node: NodeProto, sized: Sized) -> Equation:
    attributes = attributes_of(node, sized.opset)
    return Equation(("yx" if attributes["transA"] else "xy", "zy" if attributes["transB"] else "yz"), "xz")


def _einsum(node: NodeProto, sized: Sized) -> Equation | None:
    """As written, the ellipsis by letters of its own; diagonals and what the ellipsis leaves unsaid are not read."""
    written = attributes_of(node, sized.opset)["equation"].replace(" ", "")
    left, arrow, result = written.partition("->")
    terms = left.split(",")
    if not arrow or any(len(set(term.replace("...", ""))) < len(term.replace("...", "")) for term in terms):
        return None
    covered = [len(sized.shapes.get(n, ())) - len(t.replace("...", "")) for n, t in zip(node.input, terms, strict=True)]
    letters = "".join(sorted(set(ascii_uppercase) - set(written)))[: max(covered, default=0)]
    spelled = [t.replace("...", letters[len(letters) - max(n, 0) :]) for t, n in zip(terms, covered, strict=True)]
    return Equation(tuple(spelled), result.replace("...", letters))


def _reduction(node: NodeProto, sized: Sized) -> Equation | None:
    attributes = attributes_of(node, sized.opset)
    rank = len(sized.shapes[node.input[0]])
    given = attributes.get("axes")
    if len(node.input) > 1 and node.input[1]:
        axes = sized.value(node.input[1])
        if axes is None:
            return None
        given = axes.tolist()
    everything = () if attributes.get("noop_with_empty_axes") else range(rank)
    return _summed(rank, given or everything, bool(attributes["keepdims"]))


def _pooling(node: NodeProto, sized: Sized) -> Equation:
    rank = len(sized.shapes[node.input[0]])
    return _summed(rank, range(2, rank), keepdims=True)


def _summed(rank: int, axes: Sequence[int], keepdims: bool) -> Equation:
    reduced = {int(axis) % rank for axis in axes}
    rest = KEPT if keepdims else ""
    letters = (ascii_lowercase[k] if k not in reduced else rest[k : k + 1] for k in range(rank))
    return Equation((ascii_lowercase[:rank],), "".join(letters))


EQUATIONS: dict[str, Callable[[NodeProto, Sized], Equation | None]] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GlobalAveragePool": _pooling,
    "GlobalLpPool": _pooling,
    "GlobalMaxPool": _pooling,
    "MatMul": _matmul,
    **dict.fromkeys(
        (
            "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
            "ReduceProd", "ReduceSum", "ReduceSumSquare",
        ),
        _reduction,
    ),
}  # fmt: skip
