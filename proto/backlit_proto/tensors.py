"""numpy arrays as Tensor messages and back: raw little-endian bytes with dtype and shape."""

import math
from collections.abc import Iterator

import numpy as np
from google.protobuf.message import Message

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion

DTYPES = {
    pb.DATA_TYPE_BOOL: np.dtype("?"),
    pb.DATA_TYPE_UINT8: np.dtype("u1"),
    pb.DATA_TYPE_INT8: np.dtype("i1"),
    pb.DATA_TYPE_UINT16: np.dtype("<u2"),
    pb.DATA_TYPE_INT16: np.dtype("<i2"),
    pb.DATA_TYPE_UINT32: np.dtype("<u4"),
    pb.DATA_TYPE_INT32: np.dtype("<i4"),
    pb.DATA_TYPE_UINT64: np.dtype("<u8"),
    pb.DATA_TYPE_INT64: np.dtype("<i8"),
    pb.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    pb.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    pb.DATA_TYPE_FLOAT64: np.dtype("<f8"),
}
DATA_TYPES = {dtype: data_type for data_type, dtype in DTYPES.items()}


def to_tensor(array: np.ndarray) -> pb.Tensor:
    """The array as a message; BadQuestion for a dtype that has no place in the contract."""
    data_type = data_type_of(array.dtype)
    data = np.ascontiguousarray(array, DTYPES[data_type]).tobytes()
    return pb.Tensor(data_type=data_type, shape=array.shape, data=data)


def data_type_of(dtype: np.dtype) -> pb.DataType:
    """The DataType of a numpy dtype of either byte order."""
    try:
        return DATA_TYPES[dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype]
    except KeyError:
        known = ", ".join(str(d) for d in DATA_TYPES)
        raise BadQuestion(f"arrays of dtype {dtype} cannot be sent; convert to one of {known}") from None


def to_array(tensor: pb.Tensor, data: bytes | memoryview | None = None) -> np.ndarray:
    """A read-only view of the message's bytes, or of `data` where they travelled apart from it."""
    if tensor.data_type not in DTYPES:
        raise BadQuestion(f"a tensor has no data type that can be read: {tensor.data_type}")
    dtype, shape = DTYPES[tensor.data_type], tuple(tensor.shape)
    data = tensor.data if data is None else data
    if any(n < 0 for n in shape) or len(data) != dtype.itemsize * math.prod(shape):
        raise BadQuestion(f"a tensor of {dtype} {shape} comes with {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape)


def tensors_in(message: Message) -> Iterator[pb.Tensor]:
    """Every Tensor inside a message, in an order both sides of a process boundary agree on."""
    if isinstance(message, pb.Tensor):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in sorted(value):
                    yield from tensors_in(value[key])
        elif field.is_repeated:
            for item in value:
                yield from tensors_in(item)
        else:
            yield from tensors_in(value)
