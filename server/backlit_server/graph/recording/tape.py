"""A tape: nodes appended to a model's graph, types known, constants folded, repetitions shared, leftovers dropped.

Works on the protobuf itself: nothing of the model is lost or rewritten, and thousands of
nodes cost milliseconds. What the differentiator and the formulas emit goes through here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from backlit_server.graph.recording.inference import Inference
from backlit_server.graph.recording.kinds import Kind, kinds_of, optional_kinds, value_info
from backlit_server.graph.spelling.elsewhere import out_of_reach, values_of
from backlit_server.graph.spelling.reads import names_in, reads

# onnx's reference cannot crop by Pad, and resizes by odd scales as ONNX Runtime does not
UNFOLDED = frozenset(("Pad", "Resize"))
FOLDABLE = 1 << 16  # elements; what is larger is left for the runtime to fold, so that the file stays small


class Tape:
    """Appends nodes to a graph. The only mutable thing of this room: a recorder, used once, then `finish`ed."""

    def __init__(self, model: ModelProto, prefix: str) -> None:
        self.model = model
        self.opset = opset_of(model)
        self.kinds = dict(kinds_of(model.graph)) | dict(optional_kinds(model.graph))
        self._prefix = prefix
        self._names = set(names_in(model.graph))
        self._count = 0
        overridable = {i.name for i in model.graph.input}
        self._given = {t.name: t for t in model.graph.initializer if t.name not in overridable}
        self._constants: dict[str, np.ndarray] = {}
        self._computed: set[str] = set()
        self._nodes: list[NodeProto] = []
        self._emitted: dict[tuple[Any, ...], tuple[str, ...]] = {}
        self._inference = Inference(self.opset, model.ir_version)
        self._makers: dict[str, NodeProto] = {}
        for node in model.graph.node:
            self._note(node)

    def emit(self, op_type: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> tuple[str, ...]:
        """Names of the outputs of a node; an equal node emitted before is used again, a constant one is computed."""
        present = {k: v for k, v in attributes.items() if v is not None}
        key = (op_type, *inputs, outputs, repr(sorted(present.items())))
        if key not in self._emitted:
            names = [self.name(f"{op_type}_{self._count}" + f".{k}" * (k > 0)) for k in range(outputs)]
            self._count += 1
            node = helper.make_node(op_type, inputs, names, names[0], **present)
            self._infer(node)
            self._emitted[key] = self._fold(node) or self._append(node)
            self._note(node)
        return self._emitted[key]

    def attach(self, op_type: str, inputs: Sequence[str], kinds: Sequence[Kind], **attributes: Any) -> tuple[str, ...]:
        """Names of the outputs, of these kinds, of a node with bodies: nothing is inferred, folded or shared."""
        names = tuple(self.name(f"{op_type}_{self._count}" + f".{k}" * (k > 0)) for k in range(len(kinds)))
        self._count += 1
        self.kinds.update(zip(names, kinds, strict=True))
        present = {k: v for k, v in attributes.items() if v is not None}
        return self._append(helper.make_node(op_type, inputs, names, names[0], **present))

    @property
    def recorded(self) -> Sequence[NodeProto]:
        """The nodes appended so far, in order."""
        return self._nodes

    def renamed(self, name: str) -> str:
        """A second name for a tensor: a constant by this name is not folded."""
        copy = self.name(f"{name}~")
        self.kinds[copy] = self.kinds[name]
        self._nodes.append(helper.make_node("Identity", [name], [copy], copy))
        return copy

    def constant(self, value: np.ndarray) -> str:
        """The name of a constant tensor of this value."""
        key = ("constant", value.dtype.str, value.shape, value.tobytes())
        if key not in self._emitted:
            name = self.name(f"constant_{len(self._constants)}")
            self._constants[name] = value
            self.kinds[name] = Kind(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            self._emitted[key] = (name,)
        return self._emitted[key][0]

    def constant_here(self, name: str) -> bool:
        """Whether a tensor is the same in every run: stored in the model itself, or computed from such on this tape."""
        return name in self._constants or name in self._computed or self._stored(name)

    def value(self, name: str) -> np.ndarray | None:
        """The value of such a tensor, else None; None too for what is computed when the model is loaded."""
        if name in self._constants:
            return self._constants[name]
        return values_of(self._given[name]) if self._stored(name) else None

    def maker(self, name: str) -> NodeProto | None:
        """The node that computes a tensor, of the model or of this tape; None for what is given."""
        return self._makers.get(name)

    def repeated_from(self, name: str) -> str | None:
        """The tensor of the same rank that Expand made this one of, None where it was made otherwise."""
        node = self._makers.get(name)
        while node is not None and node.op_type == "Identity":
            node = self._makers.get(node.input[0])
        if node is None or node.op_type != "Expand":
            return None
        shapes = [self.kinds[n].shape if n in self.kinds else None for n in (node.input[0], name)]
        return node.input[0] if all(shapes) and len(shapes[0] or ()) == len(shapes[1] or ()) else None

    def factors(self, name: str) -> Sequence[str]:
        """What was multiplied on this tape to make a tensor, none where it was made otherwise."""
        node = self._makers.get(name)
        return node.input if node is not None and node.op_type == "Mul" else ()

    def small(self, name: str) -> bool:
        """Whether a tensor is known to be small enough to be computed here and stored."""
        shape = self.kinds[name].fixed if name in self.kinds else None
        return shape is not None and int(np.prod(shape)) <= FOLDABLE

    def reserve(self, name: str) -> bool:
        """Takes a name for an input or output; False where the model already uses it."""
        free = name not in self._names
        self._names.add(name)
        return free

    def add_input(self, name: str, kind: Kind) -> None:
        self.kinds[name] = kind
        self.model.graph.input.append(value_info(name, kind))

    def finish(self, outputs: Mapping[str, str]) -> ModelProto:
        """The model with tensors as further outputs, {output name: tensor}; nodes that none needs are dropped."""
        self._nodes += [helper.make_node("Identity", [tensor], [name], name) for name, tensor in outputs.items()]
        needed, kept = set(outputs), []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(reads(node))
                kept.append(node)
        graph = self.model.graph
        graph.node.extend(reversed(kept))
        graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in self._constants.items() if name in needed
        )
        graph.output.extend(value_info(name, self.kinds[tensor]) for name, tensor in outputs.items())
        made = (name for node in kept for name in node.output if name in self.kinds)
        graph.value_info.extend(value_info(name, self.kinds[name]) for name in made)
        return self.model

    def name(self, wish: str) -> str:
        """A name that no tensor or node has."""
        name, n = self._prefix + wish, 0
        while name in self._names:
            name, n = f"{self._prefix}{wish}~{n}", n + 1
        self._names.add(name)
        return name

    def _stored(self, name: str) -> bool:
        return name in self._given and not out_of_reach(self._given[name])

    def _append(self, node: NodeProto) -> tuple[str, ...]:
        self._nodes.append(node)
        if all(self.constant_here(name) for name in reads(node)):
            self._computed.update(node.output)
        return tuple(node.output)

    def _note(self, node: NodeProto) -> None:
        """Remembers what later nodes can look through: repetitions, products, convolutions that are cropped."""
        self._makers.update(dict.fromkeys(node.output, node))

    def _infer(self, node: NodeProto) -> None:
        values = {name: self.value(name) for name in node.input if name and self.small(name)}
        known = {name: value for name, value in values.items() if value is not None}
        self.kinds.update(self._inference.of(node, self.kinds, known))

    def _fold(self, node: NodeProto) -> tuple[str, ...] | None:
        if node.op_type in UNFOLDED or not all(self.small(name) for name in (*node.input, *node.output) if name):
            return None
        values = {name: self.value(name) for name in node.input if name}
        if any(value is None for value in values.values()):
            return None
        results = ReferenceEvaluator(node, opsets={"": self.opset}).run(None, values)
        return tuple(self.constant(np.asarray(result)) for result in results)


def opset_of(model: ModelProto) -> int:
    return next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
