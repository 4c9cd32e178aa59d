"""From files to pixels. What a file announces is read from its header, and judged before anything is decoded."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from backlit_proto.errors import BadQuestion

FORMATS = ("JPEG", "PNG", "WEBP")
SIDEWAYS = range(5, 9)  # EXIF's orientations whose width is the picture's height
MEGA = 1_000_000
DAMAGE = (OSError, ValueError, SyntaxError, IndexError, OverflowError, EOFError)  # what Pillow raises for it


def opened(picture: bytes | np.ndarray, megapixels: float) -> Image.Image:
    """A picture of which only the header has been read; BadQuestion for what is none, and for what has more."""
    if isinstance(picture, np.ndarray):
        return _from_pixels(picture)
    try:
        image = Image.open(io.BytesIO(picture), formats=FORMATS)
    except UnidentifiedImageError:
        raise BadQuestion(f"a picture is not a {', '.join(FORMATS)} file that can be read") from None
    except DAMAGE as error:
        raise BadQuestion(f"a picture cannot be read: {error}") from None
    if image.width * image.height > megapixels * MEGA:
        raise BadQuestion(
            f"a picture of {image.width} x {image.height}, {image.width * image.height / MEGA:.1f} million pixels: "
            f"this server decodes {megapixels:g} million at most; send it smaller, or start the server with a "
            "larger --max-picture-megapixels"
        )
    return image


def _from_pixels(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise BadQuestion(
            f"a picture is uint8 pixels, height x width x 3 or height x width; this is {pixels.dtype} {pixels.shape}"
        )
    if not pixels.size:
        raise BadQuestion("a picture has no pixels")
    return Image.fromarray(pixels)


def decoded(image: Image.Image, mode: str) -> Image.Image:
    """The first frame in this mode, "RGB" or "L", the way its camera was held; transparency is left out."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        image = DEPTHS.get(image.mode, _as_it_is)(image)
        return image if image.mode == mode else image.convert(mode)
    except DAMAGE as error:
        raise BadQuestion(f"a picture cannot be decoded: {error}") from None


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _upper_bytes(image: Image.Image) -> Image.Image:
    """What Pillow does with 16 bits of each color, and not with 16 bits of grey: those it cuts off at 255."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _with_transparency(image: Image.Image) -> Image.Image:
    """Where a palette has transparent colors, Pillow wants to be asked for them first."""
    return image.convert("RGBA")


DEPTHS: Mapping[str, Callable[[Image.Image], Image.Image]] = {"I;16": _upper_bytes, "P": _with_transparency}


def upright_size(picture: bytes | np.ndarray) -> tuple[int, int]:
    """Width and height of a picture that could be opened, from its header, the way its camera was held."""
    if isinstance(picture, np.ndarray):
        return picture.shape[1], picture.shape[0]
    with Image.open(io.BytesIO(picture), formats=FORMATS) as image:
        sideways = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
        return (image.height, image.width) if sideways else (image.width, image.height)
