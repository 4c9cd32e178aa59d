"""A grid of places is followed through whatever moves it, and lost where nobody can say where things are."""

import numpy as np
import pytest

from backlit_proto.errors import NotExplainable
from backlit_server.graph import Anatomy, examine
from real_models import small
from transformers import weight

# Ways to move a grid of 4x6: what is done to f, the tensor asked for, its axes, its map, how many tokens are elsewhere.
MOVES = {
    "sequence first": ("r = Reshape(f, flat) z = Transpose<perm = [2, 0, 1]>(r)", "TNC", (4, 6), 0),
    "images and heads in one axis": ("r = Reshape(f, heads) z = Transpose<perm = [0, 2, 1]>(r)", "(NC)TC", (4, 6), 0),
    "tokens in a line, for 1x1 convolutions": ("r = Reshape(f, line) z = Conv(r, square)", "NCCT", (4, 6), 0),
    "upside down": ("z = Slice(f, last, before, rows, back)", "NCTT", (4, 6), 0),
    "without its edge": ("z = Slice(f, one, far, rows)", "NCHW", (3, 6), 0),
    "with a border": ("z = Pad(f, border)", "NCHW", (6, 8), 0),
    "with more channels": ("z = Pad(f, deeper)", "NCHW", (4, 6), 0),
    "every other row": ("z = Slice(f, one, far, rows, two)", "NCHW", (2, 6), 0),
    "means of rows": ("z = ReduceMean<keepdims = 0>(f, columns)", "NCT", (4, 1), 0),
    "space to channels, mixed": ("d = SpaceToDepth<blocksize = 2>(f) z = Conv(d, deep)", "NCHW", (2, 3), 0),
    "patches of two by two": (
        "r = Reshape(f, pairs) t = Transpose<perm = [0, 2, 4, 1, 3, 5]>(r) u = Reshape(t, rows6) z = MatMul(u, w16)",
        "NTC", (2, 3), 0,
    ),
    "the transpose of the picture": ("z = Transpose<perm = [0, 1, 3, 2]>(f)", "NCWH", (4, 6), 0),
    "resized": ("z = Resize<mode = \"linear\">(f, none, twice)", "NCHW", (8, 12), 0),
    "an Einsum": ("r = Reshape(f, flat) z = Einsum<equation = \"nct,cd->ntd\">(r, mix)", "NTC", (4, 6), 0),
    "mixed along the tokens": ("r = Reshape(f, flat) z = MatMul(r, w24)", "", (), 0),
    "a picture of one axis": ("r = Reshape(f, flat) z = Conv(r, kernel1)", "", (), 0),
    "a volume": ("r = Reshape(f, deep5) z = Conv(r, kernel3)", "", (), 0),
}  # fmt: skip
GIVEN = {
    "flat": [0, 4, 24], "line": [0, 4, 1, 24], "last": [-1], "before": [-9], "rows": [2], "columns": [3], "back": [-1],
    "one": [1], "far": [1 << 40], "two": [2], "border": [0, 0, 1, 1, 0, 0, 1, 1], "deeper": [0, 0, 0, 0, 0, 3, 0, 0],
    "pairs": [0, 4, 2, 2, 3, 2], "rows6": [0, 6, 16], "heads": [-1, 2, 24], "deep5": [0, 4, 2, 2, 6],
}  # fmt: skip
KERNELS = {
    "w": (4, 3, 1, 1), "square": (4, 4, 1, 1), "deep": (4, 16, 1, 1), "w16": (16, 5), "w24": (24, 24), "mix": (4, 7),
    "kernel1": (4, 4, 3), "kernel3": (4, 4, 1, 1, 1),
}  # fmt: skip


def moved(text: str) -> Anatomy:
    given = {name: np.array(value) for name, value in GIVEN.items() if name in text.split("(", 1)[1]}
    kernels = {name: weight(*shape) for name, shape in KERNELS.items() if name == "w" or name in text}
    scales = {"none": np.zeros(0, np.float32), "twice": np.array([1, 1, 2, 2], np.float32)} if "Resize" in text else {}
    end = "s = ReduceMean<keepdims = 1>(z) y = Flatten<axis = 0>(s)"
    return examine(
        small(f"g (float[N,3,4,6] x) => (float[M,K] y) {{ f = Conv(x, w) {text} {end} }}", **given, **kernels, **scales)
    )


@pytest.mark.parametrize("way", MOVES)
def test_a_grid_is_followed_through_whatever_moves_it(way: str) -> None:
    text, axes, size, others = MOVES[way]
    found = moved(text)
    if not axes:
        with pytest.raises(NotExplainable, match="'z' is no map"):
            found.view_of("z")
        return
    view = found.view_of("z")
    assert (view.axes, view.size, view.others) == (axes, size, others)


def test_a_signal_is_a_map_of_one_row() -> None:
    text = "f = Conv(x, w) z = Relu(f) p = GlobalAveragePool(z) y = Flatten(p)"
    found = examine(small(f"g (float[N,3,32] x) => (float[N,K] y) {{ {text} }}", w=weight(5, 3, 3)))
    view = found.view_of(found.default_layer)
    assert (found.default_layer, view.axes, view.size, found.head.kind) == (
        "z",
        "NCW",
        (1, 30),
        "convolution + pooling",
    )
    assert view.maps(np.arange(300).reshape(2, 5, 30)).shape == (2, 5, 1, 30)


def test_a_volume_has_no_layer_and_says_so() -> None:
    text = "f = Conv(x, w) z = Relu(f) p = GlobalAveragePool(z) y = Flatten(p)"
    found = examine(small(f"g (float[N,3,8,8,8] x) => (float[N,K] y) {{ {text} }}", w=weight(5, 3, 3, 3, 3)))
    assert (found.default_layer, found.layers) == ("", ())
    assert "no input is an image" in found.default_layer_reason
    with pytest.raises(NotExplainable, match="'z' is no map"):
        found.view_of("z")
