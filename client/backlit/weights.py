"""The weights of convolutions and dense layers, as the server reads them out of the file."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from backlit.specs import TensorSpec, dimensions
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import InternalError
from backlit_proto.tensors import to_array


@dataclass(frozen=True)
class WeightedLayer:
    """A convolution or dense layer. `axes` says what each axis of its weights counts: O outputs, I inputs (those of one
    group, where a convolution has groups), D depth, H height, W width; B where there is one matrix each.
    """

    tensor: TensorSpec
    node: str
    operator: str
    axes: str

    @classmethod
    def read(cls, message: pb.Weights) -> "WeightedLayer":
        return cls(TensorSpec.read(message.tensor), message.node, message.operator, message.axes)

    def __str__(self) -> str:
        return f"{self.tensor.name}  {self.operator} {dimensions(self.tensor.shape)} {self.axes}"


@dataclass(frozen=True, eq=False)
class Weights:
    """Those of one layer; of integers that stand for floats, the floats. `note` says what was done to them since."""

    layer: WeightedLayer
    values: np.ndarray = field(repr=False)
    note: str = ""

    def relative(self) -> "Weights":
        """The weights of each output divided by its strongest one, so that the faint outputs can be seen too."""
        others = tuple(k for k, axis in enumerate(self.layer.axes) if axis not in "OB")
        strongest = np.abs(self.values).max(others, keepdims=True)
        note = "each output relative to its strongest weight"
        return replace(self, values=self.values / np.where(strongest > 0, strongest, 1), note=note)


def read_layers(response: pb.ListWeightsResponse) -> list[WeightedLayer]:
    """From the wire."""
    return [WeightedLayer.read(message) for message in response.weights]


def read_weights(responses: Iterable[pb.GetWeightsResponse]) -> Weights:
    """From the wire; the values are the caller's own, writable copy."""
    first, *rest = responses
    data = b"".join(response.chunk for response in (first, *rest))
    if not first.HasField("weights"):
        raise InternalError("the server sent weights without saying what they are")
    kind = first.weights.tensor
    values = to_array(pb.Tensor(data_type=kind.data_type, shape=kind.shape), memoryview(data))
    return Weights(WeightedLayer.read(first.weights), values.copy())
