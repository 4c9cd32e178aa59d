"""The grammar of `inputs`: arrays in the model's own layout, or pictures that the server prepares.

float array                        the model's only input, with or without the batch axis (told by its rank)
{"image": array, ...}              several inputs by name
path, bytes, Pillow image          a picture
uint8 array, h x w x 3 or h x w    a picture too, unless the model itself takes uint8 of that very shape:
                                   then it is the input, already prepared
list of any of these               a batch
"""

from collections.abc import Mapping, Sequence

import numpy as np

from backlit.pixels import encode_picture, is_picture, is_pixels
from backlit.specs import Input, dimensions, numpy_dtype
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_tensor


def encode_inputs(inputs: object, expected: Sequence[Input]) -> pb.ExplainRequest:
    """A request that holds the inputs and nothing else."""
    if isinstance(inputs, Mapping):
        return pb.ExplainRequest(inputs={name: _named(name, given, expected) for name, given in inputs.items()})
    items = _items(inputs, expected)
    pictures = [_is_picture(item, expected) for item in items]
    if all(pictures):
        return pb.ExplainRequest(pictures=[encode_picture(item) for item in items])
    if any(pictures):
        raise BadQuestion("inputs mix pictures and arrays; a batch is all pictures or all arrays")
    only = _only(expected)
    array = items[0] if not isinstance(inputs, list | tuple) else _stacked(items, only)
    return pb.ExplainRequest(inputs={only.tensor.name: _tensor(array, only)})


def _items(inputs: object, expected: Sequence[Input]) -> list:
    """The images of a batch, arrays as arrays."""
    items = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if not items:
        raise BadQuestion("inputs are empty; give at least one image")
    items = [item if is_picture(item) else _array(item) for item in items]
    first = items[0]
    if len(items) == 1 and isinstance(first, np.ndarray) and first.ndim == 4 and first.shape[3] == 3:
        return list(first) if first.dtype == np.uint8 and not _fits(first, expected) else items
    return items


def _array(given: object) -> np.ndarray:
    if given is None:
        raise BadQuestion("inputs are None; give an array, a dict of arrays, or a picture")
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise BadQuestion(f"inputs are no array: {error}") from None
    if array.dtype.hasobject:
        raise BadQuestion(f"inputs hold a {type(given).__name__}; give an array, a dict of arrays, or a picture")
    return array


def _is_picture(item: object, expected: Sequence[Input]) -> bool:
    if not isinstance(item, np.ndarray):
        return True
    if item.dtype != np.uint8 or _fits(item, expected):
        return False
    if not is_pixels(item):
        raise BadQuestion(
            f"a uint8 array of {list(item.shape)} is neither a picture (height x width x 3, or height x width) "
            f"nor an input of this model ({_told(expected)})"
        )
    return True


def _fits(array: np.ndarray, expected: Sequence[Input]) -> bool:
    """The model's only input is uint8 and takes this shape, with or without the batch axis."""
    if len(expected) != 1 or expected[0].tensor.dtype != "uint8":
        return False
    row = expected[0].tensor.shape[1:]
    got = array.shape[array.ndim - len(row) :]
    return array.ndim - len(row) in (0, 1) and all(want in (-1, n) for want, n in zip(row, got, strict=True))


def _named(name: object, given: object, expected: Sequence[Input]) -> pb.Tensor:
    for candidate in expected:
        if candidate.tensor.name == name:
            return _tensor(_array(given), candidate)
    raise BadQuestion(f"the model has no input {name!r}; it has {_told(expected)}")


def _only(expected: Sequence[Input]) -> Input:
    if len(expected) != 1:
        raise BadQuestion(f"the model has {len(expected)} inputs ({_told(expected)}); give a dict of arrays by name")
    return expected[0]


def _stacked(images: Sequence[np.ndarray], expected: Input) -> np.ndarray:
    """One array of the images of a list, each with or without a batch axis of its own."""
    if len({image.shape for image in images}) > 1:
        shapes = ", ".join(sorted({str(list(image.shape)) for image in images}))
        raise BadQuestion(f"the images of a batch have different shapes: {shapes}; ask one at a time")
    join = np.concatenate if images[0].ndim == len(expected.tensor.shape) > 0 else np.stack
    return join(images)


def _tensor(array: np.ndarray, expected: Input) -> pb.Tensor:
    """The array with its batch axis, floats in the declared precision; shapes are for the server to judge."""
    rank = len(expected.tensor.shape)
    if rank and array.ndim not in (rank, rank - 1):
        batch = dimensions(expected.tensor.shape, expected.tensor.dim_names)
        image = dimensions(expected.tensor.shape[1:], expected.tensor.dim_names[1:])
        raise BadQuestion(
            f"input {expected.tensor.name!r} takes {batch}, or {image} for one image; got {list(array.shape)}"
        )
    wanted = numpy_dtype(expected.tensor)
    both_float = array.dtype.kind == wanted.kind == "f"
    array = array[np.newaxis] if rank and array.ndim == rank - 1 else array
    return to_tensor(array.astype(wanted, copy=False) if both_float else array)


def _told(expected: Sequence[Input]) -> str:
    return ", ".join(str(i) for i in expected)
