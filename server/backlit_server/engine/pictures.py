"""From pictures to the model's input, as its preprocessing says: by Pillow, or by a graph of its own session."""

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.decoding import decoded, opened
from backlit_server.engine.inputs import checked
from backlit_server.engine.models import OpenModel
from backlit_server.engine.questions import Question
from backlit_server.engine.recent import Recent
from backlit_server.engine.recipes import GRAPH, PILLOW, USUAL, recipe
from backlit_server.engine.runtime import Runtime, Session
from backlit_server.graph import PIXELS, ImageInput, PictureRecipe, pixels_graph
from backlit_server.story import PREPARE

Picture = bytes | np.ndarray
MOST_GRAPHS = 32  # preprocessing graphs that are kept open
AT_ONCE = 16_000_000  # pixels of pictures that are prepared in one go, unless a single one has more
PREPARED = "prepared"  # the output of such a graph
RESAMPLING = {
    "BILINEAR": Image.Resampling.BILINEAR,
    "BICUBIC": Image.Resampling.BICUBIC,
    "NEAREST": Image.Resampling.NEAREST,
}


class Pictures:
    """Prepares pictures of at most so many million pixels on one device, whose kind says who prepares them."""

    def __init__(self, runtime: Runtime, megapixels: float) -> None:
        self._runtime = runtime
        self._megapixels = megapixels
        self.device = runtime.device
        self._usual = USUAL[runtime.device.partition(":")[0]]
        self._open: Recent[tuple[PictureRecipe, ImageInput], Session] = Recent(MOST_GRAPHS)
        Image.MAX_IMAGE_PIXELS = None  # ours holds instead, which is read from the same header

    def recipe(self, declared: pb.Preprocessing | None, expected: ImageInput) -> PictureRecipe:
        """What is done to pictures, and by whom."""
        return recipe(declared, expected, self._usual)

    def inputs(
        self, question: Question, model: OpenModel
    ) -> Generator[None, None, tuple[dict[str, np.ndarray], PictureRecipe | None]]:
        """A question's arrays, checked, or its pictures, prepared; and how they were."""
        if question.inputs:
            return checked(question.inputs, model.anatomy.inputs), None
        if model.image is None:
            raise BadQuestion("the model's input is not one image: send float arrays by name instead of pictures")
        by = self.recipe(question.wording.preprocessing, model.image)
        prepared = yield from self.prepare(question.pictures, by, model.image)
        return {model.anatomy.image: prepared}, by

    def prepare(
        self, pictures: Sequence[Picture], by: PictureRecipe, expected: ImageInput
    ) -> Generator[None, None, np.ndarray]:
        """The model's input for these pictures, one row each, in the model's layout and dtype.

        None between portions of so many pixels: neither decoding nor resizing can be interrupted.
        """
        made = []
        for images in _portions(opened(picture, self._megapixels) for picture in pictures):
            if made:
                yield None
            made.append(WAYS[by.computed_by](self, images, by, expected))
        return np.concatenate(made) if len(made) > 1 else made[0]

    def by_graph(self, images: Sequence[Image.Image], by: PictureRecipe, expected: ImageInput) -> np.ndarray:
        """Pictures of one size in a row share a run."""
        if (by, expected) not in self._open:
            self._open[by, expected] = self._runtime.open(pixels_graph(by, expected, PREPARED))
            self._open[by, expected].stage = PREPARE
        session = self._open[by, expected]
        pixels = (np.asarray(decoded(image, "RGB")) for image in images)
        batches = (np.stack(list(alike)) for _, alike in itertools.groupby(pixels, lambda array: array.shape))
        return np.concatenate([session.run({PIXELS: batch})[PREPARED] for batch in batches])


def _portions(images: Iterable[Image.Image]) -> Iterator[list[Image.Image]]:
    """Pictures of which only the headers have been read, AT_ONCE pixels of them at a time."""
    portion, size = [], 0
    for image in images:
        size += image.width * image.height
        if portion and size > AT_ONCE:
            yield portion
            portion, size = [], image.width * image.height
        portion.append(image)
    yield portion


def by_pillow(images: Sequence[Image.Image], by: PictureRecipe, expected: ImageInput) -> np.ndarray:
    """Pictures one by one."""
    pixels = np.stack([_pixels(image, by) for image in images])
    if by.color == "BGR":
        pixels = pixels[..., ::-1]
    # Plane by plane: numpy is ten times as quick along rows as along the three values of a pixel.
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    if not np.issubdtype(expected.dtype, np.integer):
        planes = planes.astype(np.float32)
        planes -= np.array(by.mean, np.float32).reshape(-1, 1, 1)
        planes /= np.array(by.std, np.float32).reshape(-1, 1, 1)
    laid_out = planes if expected.layout == "NCHW" else planes.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(laid_out, expected.dtype)


def _pixels(image: Image.Image, by: PictureRecipe) -> np.ndarray:
    """Pixels (height, width, channels) of a picture brought to the recipe's size."""
    fitted = FITS[by.fit](decoded(image, "L" if by.color == "GREY" else "RGB"), by)
    return np.asarray(fitted).reshape(by.height, by.width, -1)


def _stretch(image: Image.Image, by: PictureRecipe) -> Image.Image:
    return image.resize((by.width, by.height), RESAMPLING[by.interpolation])


def _crop(image: Image.Image, by: PictureRecipe) -> Image.Image:
    """The centre of the picture, `crop` of what fits: one resize from the source box, no rounding in between."""
    scale = by.crop * min(image.width / by.width, image.height / by.height)
    left, right = _middle(image.width, scale * by.width)
    top, bottom = _middle(image.height, scale * by.height)
    return image.resize((by.width, by.height), RESAMPLING[by.interpolation], box=(left, top, right, bottom))


def _middle(size: int, length: float) -> tuple[float, float]:
    return max(size / 2 - length / 2, 0), min(size / 2 + length / 2, size)


def _pad(image: Image.Image, by: PictureRecipe) -> Image.Image:
    scale = min(by.width / image.width, by.height / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    filled = Image.new(image.mode, (by.width, by.height), by.fill)
    small = image.resize((width, height), RESAMPLING[by.interpolation])
    filled.paste(small, ((by.width - width) // 2, (by.height - height) // 2))
    return filled


FITS: Mapping[str, Callable[[Image.Image, PictureRecipe], Image.Image]] = {
    "STRETCH": _stretch,
    "CROP": _crop,
    "PAD": _pad,
}
WAYS: Mapping[str, Callable[[Pictures, Sequence[Image.Image], PictureRecipe, ImageInput], np.ndarray]] = {
    PILLOW: lambda pictures, images, by, expected: by_pillow(images, by, expected),
    GRAPH: Pictures.by_graph,
}
