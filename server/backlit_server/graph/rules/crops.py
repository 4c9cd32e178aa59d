"""A crop of a convolution is a convolution that computes less.

The gradient of padding is a crop, and what is cropped is the gradient of the convolution that the padding was for.
"""

import numpy as np

from backlit_server.graph.recording.schema import attributes_of
from backlit_server.graph.recording.sym import Array


def bordered(g: Array, pads: Array, axes: Array) -> Array:
    """g with zeros around it, or cut where pads are negative.

    The pads of all axes are spelled out where the axes are known: the transpose optimizer of ONNX Runtime 1.31 takes
    those of some axes for those of all.
    """
    if axes is None or axes.value is None or g.kind.shape is None:
        return g.op("Pad", pads, None, axes)
    at = axes.value % g.rank
    places = np.concatenate([at, at + g.rank])
    if pads.value is None:
        return g.op("Pad", g.lift(np.zeros(2 * g.rank, np.int64)).op("ScatterElements", places, pads, axis=0))
    every = np.zeros(2 * g.rank, np.int64)
    every[places] = pads.value
    return g.op("Pad", every)


def cropped(g: Array, begin: np.ndarray, end: np.ndarray) -> Array:
    """g without so many first and last elements of its spatial axes."""
    made = g.tape.maker(g.name)
    inner = None if made is None else _narrower(attributes_of(made, g.tape.opset), made.op_type, begin, end)
    if made is None or inner is None:
        return bordered(g, g.lift([*-begin, *-end]), g.lift(list(range(2, g.rank))))
    first, *others = (type(g)(g.tape, name) for name in made.input)
    return first.op(made.op_type, *others, **inner)


def _narrower(attributes: dict, op_type: str, begin: np.ndarray, end: np.ndarray) -> dict | None:
    """The attributes of the convolution whose result is smaller by this much; None where there is none."""
    if op_type not in ("Conv", "ConvTranspose") or attributes["auto_pad"] != "NOTSET":
        return None
    crop = np.concatenate([begin, end])
    pads = np.array(attributes.get("pads") or [0] * len(crop))
    if op_type == "ConvTranspose":
        return attributes | {"pads": [*pads + crop]}
    steps = np.array(attributes.get("strides") or [1])
    return attributes | {"pads": [*pads - crop]} if (steps == 1).all() and (pads >= crop).all() else None
