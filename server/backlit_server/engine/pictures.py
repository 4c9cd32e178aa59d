"""From a picture to the model's input, as the model's preprocessing says."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.methods.presets import ASSUMED, preset

LARGEST_PICTURE = 50_000_000  # pixels, read from the header before anything is decoded
FORMATS = ("JPEG", "PNG", "WEBP")
MODES = {"RGB": "RGB", "BGR": "RGB", "GREY": "L"}
RESAMPLING = {
    "BILINEAR": Image.Resampling.BILINEAR,
    "BICUBIC": Image.Resampling.BICUBIC,
    "NEAREST": Image.Resampling.NEAREST,
}


@dataclass(frozen=True)
class ImageInput:
    """What the model expects: dtype, layout "NCHW" or "NHWC", and sizes where they are fixed (0: not)."""

    dtype: np.dtype
    layout: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Recipe:
    """Every detail of a preprocessing, presets and defaults filled in."""

    preset: str
    mean: np.ndarray
    std: np.ndarray
    color: str
    fit: str
    crop: float
    interpolation: str
    height: int
    width: int

    def message(self) -> pb.Preprocessing:
        """The recipe as provenance tells it."""
        return pb.Preprocessing(
            preset=self.preset,
            mean=self.mean.tolist(),
            std=self.std.tolist(),
            color=f"COLOR_{self.color}",
            fit=f"FIT_{self.fit}",
            height=self.height,
            width=self.width,
            crop=self.crop,
            interpolation=f"INTERPOLATION_{self.interpolation}",
        )


def recipe(declared: pb.Preprocessing | None, expected: ImageInput) -> Recipe:
    """The declared preprocessing (or the assumed one) for this input; set fields override the preset."""
    declared = declared or pb.Preprocessing()
    base = preset(declared.preset or (ASSUMED if not (declared.mean or declared.std) else "raw"))
    std = np.asarray(declared.std or base.std, np.float32)
    mean = np.asarray(declared.mean or base.mean, np.float32)
    color = _chosen(pb.Preprocessing.Color, "COLOR_", declared.color) or (
        "GREY" if expected.channels == 1 else base.color
    )
    height, width = declared.height or expected.height, declared.width or expected.width
    if not (height and width):
        raise BadQuestion(
            "the model's input has no fixed height and width: give them in the preprocessing, or send a float array"
        )
    if (std == 0).any():
        raise BadQuestion("the preprocessing divides by a std of 0")
    return Recipe(
        preset=declared.preset or (ASSUMED if base is preset(ASSUMED) else ""),
        mean=_per_channel("mean", mean, color),
        std=_per_channel("std", std, color),
        color=color,
        fit=_chosen(pb.Preprocessing.Fit, "FIT_", declared.fit) or base.fit,
        crop=declared.crop or base.crop,
        interpolation=_chosen(pb.Preprocessing.Interpolation, "INTERPOLATION_", declared.interpolation)
        or base.interpolation,
        height=height,
        width=width,
    )


def _chosen(enum, prefix: str, value: int) -> str:
    return enum.Name(value).removeprefix(prefix) if value else ""


def _per_channel(name: str, values: np.ndarray, color: str) -> np.ndarray:
    channels = 1 if color == "GREY" else 3
    if len(values) == channels or len(values) == 1:
        return values
    if channels == 1:
        return values.mean(keepdims=True)
    raise BadQuestion(f"the preprocessing's {name} has {len(values)} values; give 1, or {channels} for {color}")


def prepare(pictures: Sequence[bytes | np.ndarray], by: Recipe, expected: ImageInput) -> np.ndarray:
    """The model's input for these pictures, one row each, in the model's layout and dtype."""
    channels = 1 if by.color == "GREY" else 3
    if expected.channels not in (0, channels):
        raise BadQuestion(
            f"the model's input has {expected.channels} channels, pictures have {channels} in {by.color}: "
            "send a float array, or another color in the preprocessing"
        )
    pixels = np.stack([_pixels(_open(picture), by) for picture in pictures])
    if by.color == "BGR":
        pixels = pixels[..., ::-1]
    images = pixels if np.issubdtype(expected.dtype, np.integer) else (pixels - by.mean) / by.std
    if expected.layout == "NCHW":
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, expected.dtype)


def black(by: Recipe, expected: ImageInput) -> np.ndarray:
    """What the model takes where a picture is black: (channels, 1, 1)."""
    pixel = 0 * by.mean if np.issubdtype(expected.dtype, np.integer) else -by.mean / by.std
    return np.broadcast_to(pixel, (1 if by.color == "GREY" else 3,)).reshape(-1, 1, 1)


def _open(picture: bytes | np.ndarray) -> Image.Image:
    if isinstance(picture, np.ndarray):
        return _from_pixels(picture)
    try:
        image = Image.open(io.BytesIO(picture), formats=FORMATS)
    except UnidentifiedImageError:
        raise BadQuestion(f"a picture is not a {', '.join(FORMATS)} file that can be read") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadQuestion(f"a picture cannot be read: {error}") from None
    if image.width * image.height > LARGEST_PICTURE:
        raise BadQuestion(
            f"a picture of {image.width} x {image.height}: at most {LARGEST_PICTURE // 1_000_000} million pixels"
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


def _pixels(image: Image.Image, by: Recipe) -> np.ndarray:
    """Float pixels (height, width, channels) of a picture brought to the recipe's size."""
    try:
        upright = ImageOps.exif_transpose(image)  # as the photographer saw it
        image = FITS[by.fit](upright.convert(MODES[by.color]), by)
    except (OSError, ValueError, SyntaxError) as error:
        raise BadQuestion(f"a picture cannot be decoded: {error}") from None
    return np.asarray(image, np.float32).reshape(by.height, by.width, -1)


def _stretch(image: Image.Image, by: Recipe) -> Image.Image:
    return image.resize((by.width, by.height), RESAMPLING[by.interpolation])


def _crop(image: Image.Image, by: Recipe) -> Image.Image:
    """The centre of the picture, `crop` of what fits: one resize from the source box, no rounding in between."""
    scale = by.crop * min(image.width / by.width, image.height / by.height)
    half_width, half_height = scale * by.width / 2, scale * by.height / 2
    x, y = image.width / 2, image.height / 2
    box = (x - half_width, y - half_height, x + half_width, y + half_height)
    return image.resize((by.width, by.height), RESAMPLING[by.interpolation], box=box)


def _pad(image: Image.Image, by: Recipe) -> Image.Image:
    scale = min(by.width / image.width, by.height / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    mean = np.broadcast_to(np.rint(by.mean), (len(image.getbands()),))
    filled = Image.new(image.mode, (by.width, by.height), tuple(int(m) for m in mean))
    small = image.resize((width, height), RESAMPLING[by.interpolation])
    filled.paste(small, ((by.width - width) // 2, (by.height - height) // 2))
    return filled


FITS = {"STRETCH": _stretch, "CROP": _crop, "PAD": _pad}
