"""What can be said of a graph before it runs: constants, and shape vectors of which some sizes are free."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from backlit_server.graph.recording.kinds import Kind
from backlit_server.graph.spelling.attempt import attempt
from backlit_server.graph.spelling.elsewhere import out_of_reach, values_of

SMALL = 1 << 20  # bytes of a result; what is larger is left to the runtime
# Shape arithmetic and the moves around it. Weights stay quantised: folding DequantizeLinear would
# take the integer kernels away from ONNX Runtime and change what the deployed model computes.
FOLDED = frozenset((
    "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div", "Equal", "Exp", "Expand",
    "Flatten", "Floor", "Gather", "GatherND", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log",
    "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMin",
    "ReduceProd", "ReduceSum", "Reshape", "Sin", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose",
    "Unsqueeze", "Where",
))  # fmt: skip
# A free size may be moved about, but not counted with.
MOVES = frozenset(("Concat", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"))
INTEGERS = (TensorProto.INT32, TensorProto.INT64)
FREE = np.iinfo(np.int64).min  # FREE + k stands in a vector for the k-th size that is only known by its name
LAST_FREE = FREE + (1 << 32)


@dataclass(frozen=True)
class Known:
    """Constants, the kind of every tensor, and vectors: integers among which some stand for a free size."""

    tensors: dict[str, TensorProto]
    kinds: Mapping[str, Kind]
    opset: int
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def size(self, size: int | str) -> int:
        """A size as it stands in a vector."""
        return self.sizes.setdefault(size, FREE + len(self.sizes)) if isinstance(size, str) else size

    def learn(self, name: str, value: np.ndarray) -> None:
        if value.dtype == np.int64 and (value <= LAST_FREE).any():
            self.vectors[name] = value
        else:
            dtype = helper.tensor_dtype_to_np_dtype(self.kinds[name].dtype)
            self.tensors[name] = numpy_helper.from_array(value.astype(dtype, copy=False), name)

    def value(self, name: str) -> np.ndarray:
        return self.vectors[name] if name in self.vectors else values_of(self.tensors[name])

    def small(self, name: str) -> bool:
        """Whether a tensor holds numbers, and few enough to be stored in the file."""
        kind = self.kinds.get(name)
        if kind is None or kind.fixed is None or kind.dtype in (TensorProto.UNDEFINED, TensorProto.STRING):
            return False
        return math.prod(kind.fixed) * helper.tensor_dtype_to_np_dtype(kind.dtype).itemsize <= SMALL

    def constant(self, name: str) -> bool:
        return name in self.tensors and not out_of_reach(self.tensors[name])


def study(node: NodeProto, known: Known) -> None:
    """Learns the outputs of a node, where they follow from what is known."""
    given = [name for name in node.input if name]
    if node.domain or not all(node.output) or not all(map(known.small, node.output)):
        return
    if node.op_type == "Shape":
        _study_shape(node, known)
    elif node.op_type == "Size":
        _study_size(node, known)
    elif any(name in known.vectors for name in given):
        _study_vectors(node, known)
    elif node.op_type in FOLDED and all(known.constant(name) and known.small(name) for name in given):
        _compute(node, known)


def _study_shape(node: NodeProto, known: Known) -> None:
    shape = known.kinds[node.input[0]].shape
    if shape is not None:
        span = {a.name: a.i for a in node.attribute}
        vector = np.array([known.size(size) for size in shape], np.int64)
        known.learn(node.output[0], vector[span.get("start", 0) : span.get("end")])


def _study_size(node: NodeProto, known: Known) -> None:
    kind = known.kinds.get(node.input[0])
    if kind is not None and kind.fixed is not None:
        known.learn(node.output[0], np.array(math.prod(kind.fixed)))


def _study_vectors(node: NodeProto, known: Known) -> None:
    if node.op_type == "Cast" and known.kinds[node.output[0]].dtype in INTEGERS:
        known.learn(node.output[0], known.value(node.input[0]))
    elif node.op_type in MOVES and all(name in known.vectors or known.constant(name) for name in node.input):
        _compute(node, known)


def _compute(node: NodeProto, known: Known) -> None:
    values = {name: known.value(name) for name in node.input if name}
    evaluator = ReferenceEvaluator(node, opsets={"": known.opset})
    with np.errstate(all="ignore"):
        results = attempt(f"the constant {node.output[0]!r} cannot be computed", lambda: evaluator.run(None, values))
    for name, result in zip(node.output, results, strict=True):
        known.learn(name, np.asarray(result))


def reshape_target(node: NodeProto, known: Known) -> np.ndarray | None:
    """The shape a Reshape asks for, free sizes as ONNX allows: 0 keeps the input's size, one -1 is what is left.

    None where the sizes do not follow from the input's alone.
    """
    if any(a.name == "allowzero" and a.i for a in node.attribute):
        return None
    before = [known.size(size) for size in known.kinds[node.input[0]].shape or ()]
    target = known.value(node.input[1]).copy()
    for axis, size in enumerate(target):
        if size <= LAST_FREE and axis < len(before) and before[axis] == size:
            target[axis] = 0
    free = np.flatnonzero(target <= LAST_FREE)
    if len(free) == 1 and -1 not in target:
        target[free] = -1
        return target
    return None if len(free) else target
