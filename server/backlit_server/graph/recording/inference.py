"""What the outputs of a node are, as onnx infers it; equal questions, which networks are full of, are asked once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TypeProto, defs, helper, numpy_helper, shape_inference

from backlit_server.graph.recording.kinds import Kind, kind_of, type_proto


class Inference:
    """Infers the kinds of nodes' outputs for one tape, and remembers.

    Twelve equal blocks of a transformer differ by the names of tensors and of dimensions: asked about is a node without
    either, so that most answers are known (ViT-tiny: three of four; to ask takes 60 us).
    """

    def __init__(self, opset: int, ir_version: int) -> None:
        self._opset = opset
        self._stamp = {"opset_imports": [helper.make_opsetid("", opset)], "ir_version": ir_version}
        self._told: dict[tuple[Any, ...], tuple[TypeProto | None, ...]] = {}

    def of(self, node: NodeProto, kinds: Mapping[str, Kind], known: Mapping[str, np.ndarray]) -> dict[str, Kind]:
        """The kinds of those outputs of which onnx says any; `known` are inputs whose values are the same in all runs.

        Given are the kinds of all inputs.
        """
        dims: dict[str, str] = {}
        given = [numbered(kinds[name], dims) if name else None for name in node.input]
        values = [known.get(name) for name in node.input]
        key = (node.op_type, len(node.output), *(a.SerializeToString() for a in node.attribute), *given)
        key += tuple((value.dtype.str, value.tobytes()) if value is not None else None for value in values)
        if key not in self._told:
            self._told[key] = self._ask(node, given, values)
        names = {number: name for name, number in dims.items()}
        told = zip(node.output, self._told[key], strict=True)
        return {name: _named(kind_of(name, proto), names) for name, proto in told if proto is not None}

    def _ask(
        self, node: NodeProto, kinds: Sequence[Kind | None], values: Sequence[np.ndarray | None]
    ) -> tuple[TypeProto | None, ...]:
        schema = defs.get_schema(node.op_type, self._opset)
        types = {name: type_proto(kind) for name, kind in zip(node.input, kinds, strict=True) if kind}
        pairs = zip(node.input, values, strict=True)
        data = {name: numpy_helper.from_array(value, name) for name, value in pairs if value is not None}
        inferred = shape_inference.infer_node_outputs(schema, node, types, data, **self._stamp)
        return tuple(inferred.get(name) for name in node.output)


def numbered(kind: Kind, dims: dict[str, str]) -> Kind:
    """The kind with numbers for the names of its dimensions, in the order in which `dims` has met them."""
    if kind.shape is None or kind.fixed is not None:
        return kind
    return Kind(kind.dtype, tuple(d if isinstance(d, int) else dims.setdefault(d, f"#{len(dims)}") for d in kind.shape))


def _named(kind: Kind, dims: Mapping[str, str]) -> Kind:
    """The kind with names for the numbers of its dimensions."""
    if kind.shape is None or kind.fixed is not None:
        return kind
    return Kind(kind.dtype, tuple(d if isinstance(d, int) else dims.get(d, d) for d in kind.shape))
