"""Files of pictures: what each kind becomes, and what is refused by its header, before anything is decoded."""

import io
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.decoding import decoded, opened, upright_size
from backlit_server.graph import ImageInput
from preparing import MEGAPIXELS, pictures, prepare

PIXELS = np.random.default_rng(5).integers(0, 256, (60, 90, 3), np.uint8)
FLAT = [Image.new("RGB", (4, 3), (level, level, level)) for level in (10, 200)]


def file(image: Image.Image, form: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def read(picture: bytes, mode: str = "RGB") -> np.ndarray:
    """Its pixels as a worker decodes them."""
    pictures()  # the door where Pillow's own limit is turned off
    return np.asarray(decoded(opened(picture, MEGAPIXELS), mode))


def palette(**options) -> bytes:
    image = Image.new("P", (3, 1))
    image.putdata([0, 1, 2])
    image.putpalette([255, 0, 0, 0, 255, 0, 9, 8, 7])
    return file(image, **options)


def held(orientation: int) -> bytes:
    """The pixels as a camera saves them that was held this way."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {1: PIXELS, 3: np.rot90(PIXELS, 2), 6: np.rot90(PIXELS), 8: np.rot90(PIXELS, -1)}[orientation]
    return file(Image.fromarray(turned), exif=exif)


CMYK = np.full((8, 8, 4), (255, 0, 0, 0), np.uint8)
GREY16 = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
COLORS = [[255, 0, 0], [0, 255, 0], [9, 8, 7]]
TRANSPARENT = np.dstack([PIXELS, np.zeros((60, 90), np.uint8)])
READ: Mapping[str, tuple[Callable[[], bytes], object]] = {
    "PNG": (lambda: file(Image.fromarray(PIXELS)), PIXELS),
    "WebP": (lambda: file(Image.fromarray(PIXELS), "WEBP", lossless=True), PIXELS),
    "sixteen bits of grey lose the lower eight": (
        lambda: file(Image.fromarray(GREY16)),
        np.repeat((GREY16 >> 8)[..., None], 3, 2),
    ),
    "one bit": (lambda: file(Image.fromarray(np.array([[True, False]]))), [[[255] * 3, [0] * 3]]),
    "CMYK": (lambda: file(Image.fromarray(CMYK, "CMYK"), "JPEG", quality=100), np.full((8, 8, 3), (0, 255, 255))),
    "palette": (palette, [COLORS]),
    "palette with a transparent color": (lambda: palette(transparency=1), [COLORS]),
    "palette with shades of transparency": (lambda: palette(transparency=bytes([0, 128, 255])), [COLORS]),
    "transparency is left out": (lambda: file(Image.fromarray(TRANSPARENT)), PIXELS),
    "grey with transparency": (
        lambda: file(Image.merge("LA", [Image.new("L", (2, 1), 40), Image.new("L", (2, 1), 0)])),
        np.full((1, 2, 3), 40),
    ),
    "the first frame of an animated PNG": (
        lambda: file(FLAT[0], save_all=True, append_images=FLAT[1:]),
        np.full((3, 4, 3), 10),
    ),
    "the first frame of an animated WebP": (
        lambda: file(FLAT[0], "WEBP", save_all=True, append_images=FLAT[1:], lossless=True),
        np.full((3, 4, 3), 10),
    ),
    "the first of several pictures in a JPEG": (
        lambda: file(FLAT[0], "MPO", save_all=True, append_images=FLAT[1:]),
        np.full((3, 4, 3), 10),
    ),
} | {f"held as {k}": (lambda k=k: held(k), PIXELS) for k in (1, 3, 6, 8)}


@pytest.mark.parametrize("kind", READ)
def test_every_kind_of_file_becomes_the_pixels_one_sees(kind):
    made, pixels = READ[kind]
    np.testing.assert_array_equal(read(made()), pixels)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_of_a_picture_is_that_of_its_upright_self_and_read_from_the_header(orientation):
    assert upright_size(held(orientation)) == (90, 60)
    assert upright_size(held(orientation)[:200]) == (90, 60)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A file of so many pixels, all black, whatever it holds of them."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def resized(picture: bytes, at: int, form: str, width: int, height: int) -> bytes:
    """A file that announces another size."""
    size = struct.pack(form, width, height) if form.startswith("<") else struct.pack(form, height, width)
    return picture[:at] + size + picture[at + len(size) :]


def giant_jpeg() -> bytes:
    made = file(FLAT[0], "JPEG")
    return resized(made, made.index(b"\xff\xc0") + 5, ">HH", 65000, 65000)


def giant_webp() -> bytes:
    made = file(FLAT[0], "WEBP")
    return resized(made, made.index(b"\x9d\x01\x2a") + 3, "<HH", 16383, 16383)


BOMBS = {
    "PNG": (lambda: png(2000, 1000, bytes(1000 * 6001)), "2000 x 1000, 2.0 million pixels"),
    "PNG beyond Pillow's first limit": (lambda: png(10_000, 10_000), "10000 x 10000"),
    "PNG beyond its second": (lambda: png(60_000, 60_000), "3600.0 million"),
    "JPEG": (giant_jpeg, "65000 x 65000"),
    "WebP": (giant_webp, "16383 x 16383"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_header_with_the_limit_and_the_way_out(kind):
    made, says = BOMBS[kind]
    bomb = made()
    tracemalloc.start()
    with pytest.raises(BadQuestion, match=says) as refusal:
        read(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "this server decodes 1 million at most" in str(refusal.value)
    assert "--max-picture-megapixels" in str(refusal.value)
    assert peak < 1_000_000


def test_a_picture_of_as_many_pixels_as_allowed_is_decoded():
    assert not read(png(1000, 1000, bytes(1000 * 3001))).any()


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (b"not a picture", "not a JPEG, PNG, WEBP file"),
        (b"", "not a JPEG, PNG, WEBP file"),
        (file(FLAT[0], "GIF"), "not a JPEG, PNG, WEBP file"),
        (file(Image.fromarray(PIXELS))[:20], "cannot be|not a"),
        (file(Image.fromarray(PIXELS))[:2000], "cannot be decoded"),
        (file(Image.fromarray(PIXELS), "JPEG")[:1500], "cannot be decoded"),
        (file(Image.fromarray(PIXELS), "WEBP")[:1500], "cannot be|not a"),
        (png(30, 30, b"too little"), "cannot be decoded"),
    ],
)
def test_what_is_no_picture_or_not_all_of_it_is_refused(picture, says):
    with pytest.raises(BadQuestion, match=says):
        read(picture)


@pytest.mark.filterwarnings("ignore:.*EXIF", "ignore:Metadata Warning", "ignore:Truncated", "ignore:Invalid APNG")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_damaged_files_are_refused_or_read_and_nothing_else(form):
    rng, sound = np.random.default_rng(9), file(Image.fromarray(PIXELS), form, exif=Image.Exif())
    outcomes = {outcome(damaged(sound, rng)) for _ in range(300)}
    assert outcomes <= {
        "read",
        "a picture cannot be decoded",
        "a picture cannot be read",
        "a picture is not",
        "a picture of",
    }
    assert len(outcomes) > 1


def damaged(sound: bytes, rng: np.random.Generator) -> bytes:
    """The file with other bytes in four places near its beginning."""
    bytes_ = np.frombuffer(sound, np.uint8).copy()
    bytes_[rng.integers(0, min(len(sound), 400), 4)] = rng.integers(0, 256, 4)
    return bytes_.tobytes()


def outcome(picture: bytes) -> str:
    """The beginning of the refusal, or that there was none."""
    try:
        read(picture)
    except BadQuestion as refusal:
        return re.match("a picture (cannot be decoded|cannot be read|is not|of)", refusal.message)[0]  # pyright: ignore[reportOptionalSubscript]
    return "read"


def test_the_limit_is_asked_of_every_picture_of_a_question():
    expected = ImageInput(np.dtype(np.float32), "NCHW", 3, 8, 8)
    with pytest.raises(BadQuestion, match="2000 x 1000"):
        prepare([PIXELS, png(2000, 1000)], pb.Preprocessing(preset="unit"), expected)
