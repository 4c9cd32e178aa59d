"""A preprocessing as a graph: uint8 pictures of any size in, the model's input out, as Pillow would make it.

ONNX's Resize would be shorter; as ONNX Runtime computes it, with antialiasing, it is up to 20 grey levels away.
"""

from collections.abc import Callable, Mapping

import numpy as np
from onnx import ModelProto, TensorProto, helper

from backlit_proto.errors import BadQuestion
from backlit_server.graph.pictures import ImageInput, PictureRecipe
from backlit_server.graph.recording.sym import Array, Sym
from backlit_server.graph.recording.tape import Kind, Tape, value_info
from backlit_server.graph.resampling import Axis, cubic, nearest, smooth, triangle
from backlit_server.graph.spelling.reads import names_in

PIXELS = "pixels"  # the input: uint8, (batch, height, width, 3), RGB
PREFIX = "pixels/"  # of all tensors on the way
OPSET, IR = 21, 10
GREY = np.array([19595, 38470, 7471], np.float64)  # of 65536, as Pillow weighs red, green and blue


def pixels_graph(by: PictureRecipe, image: ImageInput, output: str) -> ModelProto:
    """A model from `pixels` to an image input, called `output`."""
    given = value_info(PIXELS, Kind(TensorProto.UINT8, ("batch", "height", "width", 3)))
    graph = helper.make_graph([], PIXELS, [given], [])
    tape = Tape(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR), PREFIX)
    return tape.finish({output: prepared(Sym(tape, PIXELS), by, image).name})


def with_pixels(model: ModelProto, name: str, by: PictureRecipe, image: ImageInput) -> ModelProto:
    """A model that takes `pixels` in place of its image, the input of this name."""
    front = pixels_graph(by, image, name).graph
    made = {PIXELS, *(output for node in front.node for output in node.output), *(t.name for t in front.initializer)}
    if taken := made.intersection(names_in(model.graph)) - {name}:
        raise BadQuestion(f"the model has a tensor {min(taken)!r} of its own; rename it, or prepare pictures outside")
    whole = ModelProto()
    whole.CopyFrom(model)
    graph = whole.graph
    at = next(k for k, value in enumerate(graph.input) if value.name == name)
    graph.value_info.append(graph.input[at])
    graph.input[at].CopyFrom(front.input[0])
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*front.node, *nodes])
    graph.initializer.extend(front.initializer)
    return whole


def prepared(pixels: Array, by: PictureRecipe, image: ImageInput) -> Array:
    """Pictures (batch, height, width, 3) as the model takes them."""
    height, width = (pixels.size_of(axis).astype(np.float64) for axis in (1, 2))
    rows, columns = FITS[by.fit](height, width, by)
    planes = RESAMPLINGS[by.interpolation](_planes(pixels, by), rows, columns).astype(np.float32)
    if by.fit == "PAD":
        planes = np.where(rows.inside.reshape(-1, 1) & columns.inside, planes, _each_channel(by.fill))
    if by.color == "BGR":
        planes = planes[:, [2, 1, 0]]
    if not np.issubdtype(image.dtype, np.integer):
        planes = (planes - _each_channel(by.mean)) / _each_channel(by.std)
    return (planes if image.layout == "NCHW" else planes.transpose(0, 2, 3, 1)).astype(image.dtype)


def _planes(pixels: Array, by: PictureRecipe) -> Array:
    """uint8 (batch, channels, height, width)."""
    planes = pixels.transpose(0, 3, 1, 2)
    if by.channels == 3:
        return planes
    weighed = (planes.astype(np.float64) * GREY.reshape(-1, 1, 1)).sum(1, keepdims=True)
    return np.floor((weighed + 2.0**15) / 2.0**16).astype(np.uint8)


def _each_channel(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1, 1)


def _stretched(height: Array, width: Array, by: PictureRecipe) -> tuple[Axis, Axis]:
    return _whole(height, by.height), _whole(width, by.width)


def _whole(size: Array, pixels: int) -> Axis:
    return Axis(size, size * 0.0, size / pixels, size.lift(np.arange(pixels)), size.lift(np.float64(pixels)))


def _cropped(height: Array, width: Array, by: PictureRecipe) -> tuple[Axis, Axis]:
    scale = np.minimum(width / by.width, height / by.height) * by.crop
    return _middle(height, scale * by.height, by.height), _middle(width, scale * by.width, by.width)


def _middle(size: Array, length: Array, pixels: int) -> Axis:
    """So much of the middle of a picture, in the single precision that Pillow takes a box in."""
    start = np.maximum(size / 2 - length / 2, 0.0).astype(np.float32)
    end = np.minimum(size / 2 + length / 2, size).astype(np.float32)
    step = (end - start).astype(np.float64) / pixels
    return Axis(size, start.astype(np.float64), step, size.lift(np.arange(pixels)), size.lift(np.float64(pixels)))


def _padded(height: Array, width: Array, by: PictureRecipe) -> tuple[Axis, Axis]:
    scale = np.minimum(by.width / width, by.height / height)
    return _between_margins(height, scale, by.height), _between_margins(width, scale, by.width)


def _between_margins(size: Array, scale: Array, pixels: int) -> Axis:
    count = np.maximum((size * scale).op("Round"), 1.0)
    before = np.floor((pixels - count) / 2)
    return Axis(size, size * 0.0, size / count, size.lift(np.arange(pixels)) - before.astype(np.int64), count)


FITS: Mapping[str, Callable[[Array, Array, PictureRecipe], tuple[Axis, Axis]]] = {
    "STRETCH": _stretched,
    "CROP": _cropped,
    "PAD": _padded,
}
RESAMPLINGS: Mapping[str, Callable[[Array, Axis, Axis], Array]] = {
    "BILINEAR": smooth(triangle, 1.0),
    "BICUBIC": smooth(cubic, 2.0),
    "NEAREST": nearest,
}
