"""What `make gallery` draws: every method that the model can answer, for two classes in one picture, on one sheet.

The picture is made of two photographs, a cat above and a cup of coffee below, so that a method that tells classes
apart is seen to do so. The card says which methods there are; nothing here knows them.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import backlit
import demo
from backlit import pictures
from backlit.progress import shown
from backlit.sheets import Shades
from cells import Cell, contact_sheet, few_colors
from imagenet import class_names

GALLERY = Path(__file__).parents[1] / "docs" / "gallery.png"
TARGETS = ["tiger cat", "espresso"]
SECONDS = 120.0  # a method; what it knows by then is drawn, and said to be that
WIDTH, HEIGHT = 448, 224  # of each of the two photographs
COLUMNS, SIDE = 4, 112
CHANNELS, IN_A_ROW = 36, 6  # of the feature maps, those with the strongest values


def main() -> None:
    """Builds the model, starts a server, asks every method, draws the sheet."""
    demo.DEMO.mkdir(exist_ok=True)
    path = demo.built_model()
    picture = demo.DEMO / "cat-and-coffee.png"
    Image.fromarray(cat_and_coffee()).save(picture)
    # A store of its own: a card that was written by an older version knows fewer methods.
    with (
        tempfile.TemporaryDirectory(prefix="backlit-") as store,
        demo.running_server(Path(store)) as address,
        backlit.connect(address) as server,
    ):
        preprocessing = {"preset": "efficientnet-lite", "crop": 1.0}
        model = server.upload(path, name=demo.NAME, preprocessing=preprocessing, class_names=class_names())
        cells = [Cell("left: {}, right: {}".format(*TARGETS), [small(picture)]), *answered(model, picture)]
    few_colors(contact_sheet(cells, columns=COLUMNS, side=SIDE)).save(GALLERY, optimize=True)
    size = GALLERY.stat().st_size / 1000
    print(f"gallery  {demo.shown(GALLERY)}, {len(cells) - 1} methods, {size:.0f} KB")


def cat_and_coffee() -> np.ndarray:
    """The middle of each photograph, one above the other; both CC0."""
    return np.concatenate([middle(data.chelsea()), middle(data.coffee())])


def middle(photo: np.ndarray) -> np.ndarray:
    """As much as fits, at WIDTH x HEIGHT."""
    high = photo.shape[1] * HEIGHT // WIDTH
    top = (photo.shape[0] - high) // 2
    return np.asarray(Image.fromarray(photo[top : top + high]).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


def answered(model: backlit.Model, picture: Path) -> Iterator[Cell]:
    """One cell a method on the card; what draws no picture is left out, what refuses is told."""
    methods = [row.method for row in model.card.methods if row.available]
    with shown("gallery") as report:
        for done, method in enumerate(methods, 1):
            try:
                found = model.explain(picture, method, target=TARGETS, time_limit=SECONDS)
            except backlit.BacklitError as error:
                print(f"left out {method}: {error}", file=sys.stderr)
            else:
                yield from drawn(method, picture, found)
            report(done, len(methods))


def drawn(method: str, picture: Path, found: list[backlit.Explanation]) -> Iterator[Cell]:
    """The method's maps over the picture, or the strongest of its channels."""
    first = found[0].heatmap
    if first.shape[-2:] == (1, 1):
        return
    tiles = [strongest(first)] if first.ndim == 3 else [pictures.blend(small(picture), one) for one in found]
    stopped = any(one.status == "PARTIAL" for one in found)
    yield Cell(f"{method} (stopped after {SECONDS:.0f} s)" if stopped else method, tiles)


def small(picture: Path) -> np.ndarray:
    """The picture as large as it is drawn: made smaller afterwards, signs of single pixels would cancel."""
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def strongest(channels: np.ndarray) -> np.ndarray:
    """The channels (n, h, w) with the largest values, as a mosaic."""
    chosen = channels[np.argsort(-channels.max((1, 2)), kind="stable")[:CHANNELS]]
    colors = Shades(0, 1)(chosen / chosen.max())
    page = backlit.mosaic(colors, nrow=IN_A_ROW, padding=1, pad_value=1.0)
    return np.rint(255 * np.moveaxis(page, 0, -1)).astype(np.uint8)


if __name__ == "__main__":
    main()
