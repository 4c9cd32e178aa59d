"""Maps that are right point at the right thing: photographs and digits whose place is known."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backlit_server.engine.engine import Engine
from backlit_server.engine.rendering import resize
from bare import ask, stored

SIDE = 224
# Which classes stand for a picture of skimage.data: the best of them in the photograph is asked for.
SUBJECTS = {"chelsea": (281, 282, 285), "coffee": (967,), "rocket": (657, 744, 812), "astronaut": ()}


def lite0(pixels: np.ndarray) -> np.ndarray:
    """The input of EfficientNet-Lite0 for RGB pixels."""
    return ((pixels.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]


def test_the_dog_is_above_and_the_cat_below(shared: Path, engine: Engine):
    digest = stored(engine.store, shared / "models" / "efficientnet-lite0.onnx")
    picture = Image.open(shared / "photos" / "dog_and_cat.png").convert("RGB").resize((SIDE, SIDE))
    probing = ("smooth-grad-cam++", "ablation-cam", "recipro-cam", "shapley-cam", "finer-cam")
    for method in ("cam", "grad-cam", "grad-cam++", "layer-cam", "hires-cam", "xgrad-cam", *probing):
        (_, dog), (_, cat) = ask(engine, digest, lite0(np.asarray(picture)), method, [243, 282])
        assert row_of_peak(dog) < SIDE / 2, f"{method}: the dog"
        assert row_of_peak(cat) >= SIDE / 2, f"{method}: the cat"


@pytest.mark.parametrize(("method", "apart"), [("lrp", 0.6), ("deep-lift", 0.3), ("guided-grad-cam", 0.6)])
def test_what_the_pixels_get_lies_above_for_the_dog_and_below_for_the_cat(
    shared: Path, engine: Engine, method: str, apart: float
):
    """Guided backpropagation alone, which hardly depends on the target, has 0.16 between the shares above."""
    digest = stored(engine.store, shared / "models" / "efficientnet-lite0.onnx")
    picture = Image.open(shared / "photos" / "dog_and_cat.png").convert("RGB").resize((SIDE, SIDE))
    maps = [abs(heatmap) for _, heatmap in ask(engine, digest, lite0(np.asarray(picture)), method, [243, 282])]
    dog, cat = (heatmap[: SIDE // 2].sum() / heatmap.sum() for heatmap in maps)
    assert dog - cat > apart


def row_of_peak(heatmap: np.ndarray) -> int:
    return int(np.unravel_index(resize(heatmap, (SIDE, SIDE)).argmax(), (SIDE, SIDE))[0])


# How many of 200 digits the peak of the map falls on, at the default layer; a digit fills 16 % of its picture.
DIGITS = {
    ("digits40-cnn-gap", "grad-cam"): 198,
    ("digits40-vit-tiny", "grad-cam"): 125,  # averages gradients over places, which suits features that are pooled
    ("digits40-vit-tiny", "hires-cam"): 185,
    ("digits40-vit-tiny", "layer-cam"): 190,
}


@pytest.mark.parametrize(("name", "method"), DIGITS)
def test_digits_are_found_where_they_were_pasted(shared: Path, engine: Engine, name: str, method: str):
    hits = digits_found(shared, engine, name, method)
    print(f"\nthe peak lies in the box: {hits} of 200")
    assert hits >= DIGITS[name, method]


def test_random_weights_find_less_than_any_method(shared: Path, engine: Engine):
    hits = digits_found(shared, engine, "digits40-vit-tiny", "random-cam")
    print(f"\nthe peak lies in the box: {hits} of 200")
    assert hits < DIGITS["digits40-vit-tiny", "grad-cam"] / 2


def digits_found(shared: Path, engine: Engine, name: str, method: str) -> int:
    """Of how many digits the peak of the map lies in the box."""
    digest = stored(engine.store, shared / "models" / f"{name}.onnx")
    test = np.load(shared / "photos" / "digits40" / "test200.npz")
    x = (test["images"][:, None] / 255 * 2 - 1).astype(np.float32)
    hits = 0
    for image, label, (left, top, right, bottom) in zip(x, test["labels"], test["boxes"], strict=True):
        ((_, heatmap),) = ask(engine, digest, image[None], method, [int(label)])
        row, column = np.unravel_index(resize(heatmap, (40, 40)).argmax(), (40, 40))
        hits += top <= row < bottom and left <= column < right
    return int(hits)


def test_each_quarter_of_a_mosaic_is_found(shared: Path, engine: Engine):
    """The 24 arrangements of four photographs: the evidence for each subject lies mostly in its own quarter."""
    data = pytest.importorskip("skimage.data")
    digest = stored(engine.store, shared / "models" / "efficientnet-lite0.onnx")
    photos = {name: quarter(getattr(data, name)()) for name in SUBJECTS}
    targets = {name: best(engine, digest, photos[name], classes) for name, classes in SUBJECTS.items() if classes}
    hits = 0
    for order in itertools.permutations(SUBJECTS):
        tiles = [photos[name] for name in order]
        mosaic = np.concatenate([np.concatenate(tiles[:2], 1), np.concatenate(tiles[2:], 1)], 0)
        answers = ask(engine, digest, lite0(mosaic), "cam", list(targets.values()))
        for name, (_, heatmap) in zip(targets, answers, strict=True):
            hits += order.index(name) == heaviest_quarter(heatmap)
    print(f"\nthe evidence lies in the right quarter: {hits} of 72")
    assert hits >= 68


def quarter(photo: np.ndarray) -> np.ndarray:
    """The centre square of a photograph at half the input's side."""
    image = Image.fromarray(photo[..., :3])
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((SIDE // 2, SIDE // 2), Image.Resampling.BILINEAR))


def best(engine: Engine, digest: str, photo: np.ndarray, classes: tuple[int, ...]) -> int:
    whole = np.asarray(Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    ((_, scores),) = ask(engine, digest, lite0(whole), "score")
    return max(classes, key=lambda c: scores[c, 0, 0])


def heaviest_quarter(heatmap: np.ndarray) -> int:
    positive = resize(heatmap.clip(0), (SIDE, SIDE))
    half = SIDE // 2
    quarters = (positive[:half, :half], positive[:half, half:], positive[half:, :half], positive[half:, half:])
    return int(np.argmax([q.sum() for q in quarters]))
