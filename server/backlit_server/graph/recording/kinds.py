"""What is known of tensors: element types and dimensions, as a graph says them and as onnx infers them."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnx import GraphProto, TypeProto, ValueInfoProto, helper


@dataclass(frozen=True)
class Kind:
    """What is known of a tensor: element type, and dimensions as numbers or names (None: not even the rank)."""

    dtype: int
    shape: tuple[int | str, ...] | None

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The shape, where every dimension is a number."""
        known = tuple(d for d in self.shape or () if isinstance(d, int))
        return known if self.shape is not None and len(known) == len(self.shape) else None


def kinds_of(graph: GraphProto) -> Iterator[tuple[str, Kind]]:
    """Everything the graph itself says about its tensors."""
    for tensor in graph.initializer:
        yield tensor.name, Kind(tensor.data_type, tuple(tensor.dims))
    for value in (*graph.value_info, *graph.output, *graph.input):
        if value.type.WhichOneof("value") == "tensor_type":
            yield value.name, kind_of(value.name, value.type)


def optional_kinds(graph: GraphProto) -> Iterator[tuple[str, Kind]]:
    """Of inputs that may be absent, the tensors that they are when they are there."""
    for value in graph.input:
        inner = value.type.optional_type.elem_type
        if inner.WhichOneof("value") == "tensor_type":
            yield value.name, kind_of(value.name, inner)


def kind_of(name: str, proto: TypeProto) -> Kind:
    """The kind of a tensor; a dimension without number and name gets a name, so that it is known to equal itself."""
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return Kind(tensor.elem_type, None)
    dims = enumerate(tensor.shape.dim)
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or f"{name}[{k}]" for k, d in dims)
    return Kind(tensor.elem_type, shape)


def type_proto(kind: Kind) -> TypeProto:
    return helper.make_tensor_type_proto(kind.dtype, kind.shape)


def value_info(name: str, kind: Kind) -> ValueInfoProto:
    return helper.make_value_info(name, type_proto(kind))
