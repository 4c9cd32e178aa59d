"""One small network, written in every way that exporters have of writing a file: the table FILES.

y = mean(relu(conv(x))) @ d + b. Whatever the file looks like, its Grad-CAM of a class is the same.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from odd_changes import (
    Change,
    another_spelling,
    as_typed_numbers,
    dims,
    in_constant_nodes,
    listed_as_inputs,
    named,
    renamed,
    reversed_nodes,
    shapeless,
    sparse,
    stale,
    unused,
)

rng = np.random.default_rng(67)
X = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
W = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
D = rng.normal(size=(4, 5)).astype(np.float32)
B = rng.normal(size=5).astype(np.float32)
WEIGHTS = {"w": W, "d": D, "b": B}
CONV = "a = Conv<pads = [1, 1, 1, 1]>(x, w) f = Relu(a)"
HEAD = "p = GlobalAveragePool(f) v = Flatten(p) y = Gemm(v, d, b)"
NET = f"(float[N, 3, 6, 6] x) => (float[N, 5] y) {{ {CONV} {HEAD} }}"


def features(x: np.ndarray) -> np.ndarray:
    """(images, 4, 6, 6), written out."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i in range(3) for j in range(3)]
    return np.einsum("snchw,ocs->nohw", np.stack(shifted), W.reshape(4, 3, 9).astype(np.float64)).clip(0)


def grad_cam(x: np.ndarray, target: int) -> np.ndarray:
    """(images, height, width): the gradient of each mean is spread evenly."""
    made = features(x)
    return np.einsum("k,nkhw->nhw", D[:, target] / made[0, 0].size, made)


@dataclass(frozen=True)
class Odd:
    """A file, the layer of its features by name, its inputs for the image X, the shape of its scores if not flat."""

    file: onnx.ModelProto
    layer: str = "f"
    inputs: dict[str, np.ndarray] = field(default_factory=lambda: {"x": X})
    seed: tuple[int, ...] = ()


def model(
    text: str = NET,
    opset: int = 21,
    ir: int = 10,
    change: Change | None = None,
    **more: Any,
) -> onnx.ModelProto:
    """A model in ONNX's own notation; weights that it reads are added."""
    made = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]> net {text}')
    weights = WEIGHTS | more
    read = {name for node in made.graph.node for name in node.input}
    made.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in weights.items() if name in read)
    if change:
        change(made)
    return made


def between(old: str, new: str, text: str = NET) -> str:
    """The network with a few of its words exchanged."""
    assert old in text
    return text.replace(old, new)


ODD_NAMES = {"x": "input:0", "f": "модель/ReLU 'π' \\ <b>", "y": "{y}\n%s", "w": "a" * 300, "d": " ", "a": "../a"}
BYTES = rng.integers(0, 255, (1, 3, 6, 6)).astype(np.uint8)
CAST = f"[N, 3, 6, 6] i) => (float[N, 5] y) {{ x = Cast<to = 1>(i) {CONV} {HEAD} }}"
LAST = X.transpose(0, 2, 3, 1)
TO_FIRST = f"(float[N, 6, 6, 3] i) => (float[N, 5] y) {{ x = Transpose<perm = [0, 3, 1, 2]>(i) {CONV}"
ONES, ZEROS = np.ones(4, np.float32), np.zeros(4, np.float32)
WIDER = "y = Gemm(v,", "u = Cast<to = 11>(v) y = Gemm(u,"
WIDE: dict[str, Any] = {name: WEIGHTS[name].astype(np.float64) for name in "db"}


# What exporters leave at the edges of a file.
WRITTEN: dict[str, Odd] = {
    "IR 3, weights listed as inputs": Odd(model(opset=8, ir=3, change=listed_as_inputs)),
    "weights listed as inputs": Odd(model(change=listed_as_inputs)),
    "weights in Constant nodes": Odd(model(change=in_constant_nodes)),
    "weights in Constant nodes, opset 9": Odd(model(opset=9, change=in_constant_nodes)),
    "weights as typed numbers": Odd(model(change=as_typed_numbers)),
    "a sparse weight": Odd(model(change=sparse, ir=11)),
    "unused weights": Odd(model(change=unused)),
    "negative sizes": Odd(model(change=dims(-1, 3, -1, -1))),
    "sizes without number and name": Odd(model(change=dims(None, 3, None, None))),
    "sizes called ?": Odd(model(change=dims("?", 3, "?", "?"))),
    "symbolic height and width": Odd(model(change=dims("N", 3, "H", "W"))),
    "one symbol for two sizes": Odd(model(change=dims("N", 3, "S", "S"))),
    "a batch of one": Odd(model(change=dims(1, 3, 6, 6))),
    "outputs without shapes": Odd(model(change=shapeless)),
    "shapes that are wrong": Odd(model(change=stale)),
    "nodes in reverse": Odd(model(change=reversed_nodes)),
    "nodes all called alike": Odd(model(change=named(lambda k: "node"))),
    "nodes called like tensors": Odd(model(change=named(lambda k: "xafpvy"[k]))),
    "names with odd characters": Odd(model(change=renamed(ODD_NAMES)), ODD_NAMES["f"], {"input:0": X}),
    "the long name of the main domain": Odd(model(change=another_spelling)),
    "an optional input left out": Odd(model(between("(x, w)", "(x, w, )"))),
}


# What the operators of older opsets, and of other frameworks, look like.
PADDED = "a = Conv<pads = [1, 1, 1, 1]>(x, w)", "z = Pad<pads = [0, 0, 1, 1, 0, 0, 1, 1]>(x) a = Conv(z, w)"
NORMED = "f = Relu(a)", "n = BatchNormalization<epsilon = 0.0>(a, one, zero, zero, one) f = Relu(n)"
FLAT = "v = Flatten(p)"
MEASURED = "s = Shape(p) n = Gather(s, nil) u = Unsqueeze(n, nought) l = Concat<axis = 0>(u, minus) v = Reshape(p, l)"
POOLED = "p = GlobalAveragePool(f) v = Flatten(p)"
SIZES: dict[str, Any] = {"nil": np.array(0), "nought": np.array([0]), "minus": np.array([-1])}
RESHAPED = "y = Gemm(v, d, b)", "e = Reshape(flat, two) m = MatMul(v, e) y = Add(b, m)"
UPSAMPLED = 'u = Upsample<mode = "nearest">(f, s) p = GlobalAveragePool(u) v = Flatten(p)'
TO_LAST = "l = Transpose<perm = [0, 2, 3, 1]>(a) f = Relu(l) v = ReduceMean<keepdims = 0>(f, hw) y = Gemm(v, d, b) }"
SOFT = "y = Gemm(v, d, b)", "z = Gemm(v, d, b) y = Softmax<axis = 1>(z)"
IDLE = "x = Identity(i) j = Identity(w) a = Conv<pads = [1, 1, 1, 1]>(x, j) r = Relu(a) f = Identity(r)"
SPELLED: dict[str, Odd] = {
    "an output that nobody reads": Odd(model(between(FLAT, "q, mask = Dropout(p) v = Flatten(q)"))),
    "dropout of opset 7": Odd(model(between(FLAT, "q, mask = Dropout<ratio = 0.5>(p) v = Flatten(q)"), 7, 3)),
    "a batch norm of opset 7": Odd(model(between(*NORMED), 7, 3, one=ONES, zero=ZEROS)),
    "an upsampling of opset 9": Odd(model(between(POOLED, UPSAMPLED), 9, s=np.array([1, 1, 2, 2], np.float32)), "u"),
    "a pad of opset 10": Odd(model(between(*PADDED), 10)),
    "a squeeze of opset 11": Odd(model(between(FLAT, "v = Squeeze<axes = [2, 3]>(p)"), 11)),
    "a mean of opset 13": Odd(model(between(POOLED, "v = ReduceMean<axes = [2, 3], keepdims = 0>(f)"), 13)),
    "a softmax of opset 11": Odd(model(between(*SOFT), 11)),
    "a softmax": Odd(model(between(*SOFT))),
    "identities": Odd(
        model(f"(float[N, 3, 6, 6] i) => (float[N, 5] y) {{ {IDLE} {HEAD} }}"), layer="r", inputs={"i": X}
    ),
    "channels last": Odd(model(f"{TO_FIRST} {HEAD} }}"), inputs={"i": LAST}),
    "channels last to the end": Odd(
        model(between("f = Relu(a)", TO_LAST, TO_FIRST), hw=np.array([1, 2])), inputs={"i": LAST}
    ),
    "a weight that is reshaped": Odd(model(between(*RESHAPED), flat=D.ravel(), two=np.array([4, 5]))),
    "a flatten by measured sizes": Odd(model(between(FLAT, MEASURED), **SIZES)),
}


# What goes in and out.
TOGETHER = f"(float[N, 3, 6, 6] l, float[N, 3, 6, 6] r) => (float[N, 5] y) {{ x = Add(l, r) {CONV} {HEAD} }}"
BEST = (
    f"(int64[N] best, float[N, 5] y, float[N, 4, 6, 6] f) {{ {CONV} {HEAD} best = ArgMax<axis = 1, keepdims = 0>(y) }}"
)
RANK_4 = f"(float[N, 5, 1, 1] y) {{ {CONV} p = GlobalAveragePool(f) y = Conv(p, k, b) }}"
RANK_3 = (
    f"(float[N, 1, 5] y) {{ {CONV} p = GlobalAveragePool(f) v = Flatten(p) z = Gemm(v, d, b) y = Unsqueeze(z, one) }}"
)
ADDED = f"(float[N, 3, 6, 6] x, float[N, 4] more) => (float[N, 5] y) {{ {CONV} {HEAD} }}"
IN_AND_OUT: dict[str, Odd] = {
    "integers among the outputs": Odd(model(f"(float[N, 3, 6, 6] x) => {BEST}")),
    "scores of rank 4": Odd(model(f"(float[N, 3, 6, 6] x) => {RANK_4}", k=D.T.reshape(5, 4, 1, 1)), seed=(5, 1, 1)),
    "scores of rank 3": Odd(model(f"(float[N, 3, 6, 6] x) => {RANK_3}", one=np.array([1])), seed=(1, 5)),
    "bytes": Odd(model(f"(uint8{CAST}"), inputs={"i": BYTES}),
    "signed bytes": Odd(model(f"(int8{CAST}"), inputs={"i": (BYTES // 2).astype(np.int8)}),
    "scores in double precision": Odd(model(between(*WIDER, NET.replace("float[N, 5]", "double[N, 5]")), **WIDE)),
    "two images": Odd(model(TOGETHER), inputs={"l": X - 1, "r": np.ones_like(X)}),
    "a second input behind the features": Odd(
        model(between("y = Gemm(v", "u = Add(v, more) y = Gemm(u", ADDED)), inputs={"x": X, "more": ONES[None]}
    ),
}
OPSETS = {f"opset {opset}": Odd(model(opset=opset, ir=3 if opset < 9 else 10)) for opset in range(7, 27)}
FILES = OPSETS | WRITTEN | SPELLED | IN_AND_OUT
