"""Images of which parts are hidden, and what stands in their place."""

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.methods.parameters import Array, Filling


def as_image(name: str, given: Filling, image: Array) -> Array:
    """A fill or baseline as something to compute with beside the image (1, channels, height, width).

    BadQuestion where it has another shape, or holds NaN or infinity; `name` is what the parameter is called.
    """
    made = np.asarray(given, image.dtype)
    if made.shape not in ((), image.shape, image.shape[1:]):
        raise BadQuestion(
            f"{name} is a number, or an array of the shape of one image, {image.shape[1:]} with the channels first; "
            f"this one has the shape {made.shape}"
        )
    if not np.isfinite(made).all():
        raise BadQuestion(f"{name} holds NaN or infinity: no image can be compared with it")
    return made.reshape(image.shape if made.ndim else (1, 1, 1, 1))


def behind(masks: Array, image: Array, fill: Array) -> Array:
    """The image (1, C, H, W) behind each mask (n, H, W): kept where the mask is 1, the fill where it is 0."""
    kept = ((image - fill) * masks[:, None]).astype(image.dtype, copy=False)
    return np.add(kept, fill, out=kept) if fill.any() else kept
