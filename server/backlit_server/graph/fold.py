"""What is the same in every run is computed once, here, so that rules see pads, axes and shapes as numbers."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from backlit_server.graph.aside import external, reads
from backlit_server.graph.attempt import attempt
from backlit_server.graph.tape import Kind, kinds_of, opset_of

SMALL = 1 << 20  # bytes of a result; what is larger is left to the runtime
# Shape arithmetic and the moves around it. Weights stay quantised: folding DequantizeLinear would
# take the integer kernels away from ONNX Runtime and change what the deployed model computes.
# fmt: off
FOLDED = frozenset((
    "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div", "Equal", "Exp", "Expand",
    "Flatten", "Floor", "Gather", "GatherND", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log",
    "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMin",
    "ReduceProd", "ReduceSum", "Reshape", "Sin", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose",
    "Unsqueeze", "Where",
))
# fmt: on
MOVES = frozenset(["Concat", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"])
UNKNOWN = np.iinfo(np.int64).min + 1  # stands for a free size in a shape vector


def fold(light: ModelProto, weights: Mapping[str, TensorProto]) -> ModelProto:
    """The model with constant sub-graphs as initialisers and the shape of every tensor inferred.

    `weights` are the constants that stand aside. What becomes constant makes more shapes known and
    the other way round: rounds go on until one finds nothing, so each but the last removes a node.
    """
    light = _with_shapes(light)
    while _round(light, weights):
        light = _with_shapes(light)
    return light


def _with_shapes(model: ModelProto) -> ModelProto:
    """Shapes inferred anew, since those in files may be stale; declared ones count where inference is silent."""
    graph = model.graph
    foreign = {name for node in graph.node if node.domain for name in node.output}
    known = [value for value in graph.value_info if value.name in foreign]
    declared = {output.name: output.type.SerializeToString() for output in graph.output}
    del graph.value_info[:]
    graph.value_info.extend(known)
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    inferred = attempt("shapes cannot be inferred", lambda: shape_inference.infer_shapes(model, data_prop=True))
    for output in inferred.graph.output:
        if output.type.HasField("tensor_type") and not output.type.tensor_type.HasField("shape"):
            output.type.ParseFromString(declared[output.name])
    return inferred


@dataclass(frozen=True)
class Known:
    """What one round knows: constants, the kind of every tensor, and shape vectors, UNKNOWN where a size is free."""

    tensors: dict[str, TensorProto]
    kinds: Mapping[str, Kind]
    vectors: dict[str, np.ndarray]
    opset: int

    def learn(self, name: str, value: np.ndarray) -> None:
        if value.dtype == np.int64 and UNKNOWN in value:
            self.vectors[name] = value
        else:
            self.tensors[name] = numpy_helper.from_array(value, name)

    def value(self, name: str) -> np.ndarray:
        """The values of a tensor; of one that is only asked for its shape, zeros that take no memory."""
        if name in self.vectors:
            return self.vectors[name]
        if name in self.tensors:
            return numpy_helper.to_array(self.tensors[name])
        return np.broadcast_to(np.float32(0), self.kinds[name].fixed or ())


def _round(model: ModelProto, weights: Mapping[str, TensorProto]) -> bool:
    """Computes what can be computed now, in place; whether there was anything."""
    graph = model.graph
    given = {t.name: t for t in graph.initializer}
    known = Known(dict(weights) | given, dict(kinds_of(graph)), {}, opset_of(model))
    kept = {output.name for output in graph.output} | {name for node in graph.node for name in _captured(node)}
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        for k, name in enumerate(node.input):
            node.input[k] = renamed.get(name, name)
        if node.op_type == "Identity" and node.input[0] in known.tensors and node.output[0] not in kept:
            renamed[node.output[0]] = node.input[0]
            continue
        _compute(node, known)
        if kept.intersection(node.output) or not all(name in known.tensors for name in node.output if name):
            nodes.append(node)
    found = len(nodes) < len(graph.node)
    nodes = _alive(nodes, kept)
    made = given.keys() | weights.keys() | {name for node in nodes for name in node.output}
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for name, tensor in known.tensors.items() if name not in made)
    return found


def _alive(nodes: list[NodeProto], kept: set[str]) -> list[NodeProto]:
    """The nodes that a result needs; those that only measured what is a constant now are gone."""
    needed, alive = set(kept), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(reads(node))
            alive.append(node)
    return alive[::-1]


def _captured(node: NodeProto) -> Iterator[str]:
    return (name for name in reads(node) if name not in node.input)


def _compute(node: NodeProto, known: Known) -> None:
    """Learns the outputs of a node, where they follow from what is known."""
    if node.op_type == "Shape" and not node.domain and (sizes := known.kinds[node.input[0]].shape) is not None:
        vector = np.array([UNKNOWN if isinstance(size, str) else size for size in sizes], np.int64)
        span = {a.name: a.i for a in node.attribute}
        known.learn(node.output[0], vector[span.get("start", 0) : span.get("end")])
    elif _computable(node, known):
        values = {name: known.value(name) for name in node.input if name}
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(node, opsets={"": known.opset})
            results = attempt(
                f"the constant {node.output[0]!r} cannot be computed", lambda: evaluator.run(None, values)
            )
        for name, result in zip(node.output, results, strict=True):
            known.learn(name, np.asarray(result))


def _computable(node: NodeProto, known: Known) -> bool:
    given = [name for name in node.input if name]
    if node.domain or not all(node.output) or not all(_small(known.kinds.get(name)) for name in (*given, *node.output)):
        return False
    if any(name in known.vectors for name in given):  # a free size may be moved about, but not counted with
        return node.op_type in MOVES and all(name in known.vectors or name in known.tensors for name in given)
    return node.op_type in FOLDED and all(name in known.tensors and not external(known.tensors[name]) for name in given)


def _small(kind: Kind | None) -> bool:
    if kind is None or kind.fixed is None or kind.dtype in (TensorProto.UNDEFINED, TensorProto.STRING):
        return False
    return math.prod(kind.fixed) * helper.tensor_dtype_to_np_dtype(kind.dtype).itemsize <= SMALL
