"""Images in parts that are alike in colour."""

import numpy as np

from backlit_proto.errors import BadQuestion

BLUR = 1  # pixels, before colours are compared: single pixels of noise are no parts of anything
CONTRAST = 100  # of what is not RGB, as wide as the lightness that RGB is compared by


def superpixels(image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    """Labels (height, width) of about so many parts of an image (1, channels, height, width), from 0 on.

    SLIC, over the image scaled to 0..1: Achanta et al., SLIC Superpixels Compared to State-of-the-art, 2012.
    """
    from skimage.segmentation import slic  # not above: it takes half a second, and two methods need it

    low, high = float(image.min()), float(image.max())
    scaled = (image[0].transpose(1, 2, 0).astype(np.float64) - low) / max(high - low, 1e-12)
    colours = scaled if scaled.shape[2] == 3 else CONTRAST * scaled
    labels = slic(colours, n_segments=count, compactness=compactness, sigma=BLUR, channel_axis=-1)
    numbers, places = np.unique(labels, return_inverse=True)
    if len(numbers) < 2:
        raise BadQuestion(
            f"of about {count} superpixels only one is left, because each is too uneven: raise the compactness, which "
            f"is {compactness:g}"
        )
    return places.reshape(labels.shape)
