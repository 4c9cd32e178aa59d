"""One small network, written in every way that exporters have of writing a file: the table FILES.

y = mean(relu(conv(x))) @ d + b. Whatever the file looks like, its Grad-CAM of a class is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper, parser

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
    """A file, the layer of its features by name, its inputs for the image X, and the factor of its map."""

    file: onnx.ModelProto
    layer: str = "f"
    inputs: dict[str, np.ndarray] = field(default_factory=lambda: {"x": X})
    seed: tuple[int, ...] = ()


def model(
    text: str = NET,
    opset: int = 21,
    ir: int = 10,
    change: Callable[[onnx.ModelProto], object] = lambda model: None,
    **more,
) -> onnx.ModelProto:
    """A model in ONNX's own notation; weights that it reads are added."""
    made = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]> net {text}')
    weights = WEIGHTS | more
    read = {name for node in made.graph.node for name in node.input}
    made.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in weights.items() if name in read)
    change(made)
    return made


def listed_as_inputs(made: onnx.ModelProto) -> None:
    made.graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in made.graph.initializer)


def in_constant_nodes(made: onnx.ModelProto) -> None:
    for tensor in reversed(made.graph.initializer):
        made.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    del made.graph.initializer[:]


def as_typed_numbers(made: onnx.ModelProto) -> None:
    for tensor in made.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(helper.make_tensor(tensor.name, tensor.data_type, values.shape, values.ravel()))


def sparse(made: onnx.ModelProto) -> None:
    """d as a sparse initialiser with nothing left out."""
    (tensor,) = (t for t in made.graph.initializer if t.name == "d")
    values = numpy_helper.from_array(D.ravel(), "d")
    indices = numpy_helper.from_array(np.arange(D.size), "d_indices")
    made.graph.initializer.remove(tensor)
    made.graph.sparse_initializer.append(SparseTensorProto(values=values, indices=indices, dims=D.shape))


def dims(*sizes: int | str | None) -> Callable[[onnx.ModelProto], None]:
    """Another shape for the input: numbers, names, or nothing at all."""

    def change(made: onnx.ModelProto) -> None:
        shape = made.graph.input[0].type.tensor_type.shape
        del shape.dim[:]
        for size in sizes:
            dim = shape.dim.add()
            if isinstance(size, int):
                dim.dim_value = size
            elif size is not None:
                dim.dim_param = size

    return change


def shapeless(made: onnx.ModelProto) -> None:
    for value in made.graph.output:
        value.type.tensor_type.ClearField("shape")


def stale(made: onnx.ModelProto) -> None:
    made.graph.value_info.append(helper.make_tensor_value_info("f", TensorProto.FLOAT, [7, 4, 1, 1]))


def reversed_nodes(made: onnx.ModelProto) -> None:
    nodes = list(made.graph.node)[::-1]
    del made.graph.node[:]
    made.graph.node.extend(nodes)


def named(names: Callable[[int], str]) -> Callable[[onnx.ModelProto], None]:
    def change(made: onnx.ModelProto) -> None:
        for k, node in enumerate(made.graph.node):
            node.name = names(k)

    return change


def renamed(names: dict[str, str]) -> Callable[[onnx.ModelProto], None]:
    """Other names for tensors, everywhere."""

    def change(made: onnx.ModelProto) -> None:
        graph = made.graph
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = names.get(value.name, value.name)
        for node in graph.node:
            for places in (node.input, node.output):
                places[:] = [names.get(name, name) for name in places]

    return change


def unused(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(numpy_helper.from_array(np.ones((64, 64), np.float32), "nobody reads this"))
    made.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.int64), "nor this"))


def another_spelling(made: onnx.ModelProto) -> None:
    """The main domain by its long name, and operator sets that nothing uses."""
    made.opset_import[0].domain = "ai.onnx"
    made.opset_import.add(domain="ai.onnx.ml", version=3)
    made.opset_import.add(domain="com.example", version=1)
    for node in made.graph.node:
        node.domain = "ai.onnx"


ODD_NAMES = {"x": "input:0", "f": "модель/ReLU 'π' \"×\" \\ <b>", "y": "{y}\n%s", "w": "a" * 300, "d": " ", "a": "../a"}
BYTES = rng.integers(0, 255, (1, 3, 6, 6)).astype(np.uint8)
OPSETS = {f"opset {opset}": Odd(model(opset=opset, ir=3 if opset < 9 else 10)) for opset in range(7, 27)}
# fmt: off
FILES: dict[str, Odd] = OPSETS | {
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
    "an optional input left out": Odd(model(NET.replace("(x, w)", "(x, w, )"))),
    "an output that nobody reads": Odd(model(NET.replace("v = Flatten(p)", "q, mask = Dropout(p) v = Flatten(q)"))),
    "dropout of opset 7": Odd(model(NET.replace("v = F", "q, mask = Dropout<ratio = 0.5>(p) v = F").replace("n(p)", "n(q)"), 7, 3)),
    "a batch norm of opset 7": Odd(model(NET.replace("f = R", "n = BatchNormalization<epsilon = 0.0>(a, one, zero, zero, one) f = R").replace("u(a)", "u(n)"), 7, 3, one=np.ones(4, np.float32), zero=np.zeros(4, np.float32))),
    "an upsampling of opset 9": Odd(model(NET.replace("p = G", "u = Upsample<mode = \"nearest\">(f, s) p = G").replace("l(f)", "l(u)"), 9, s=np.array([1, 1, 2, 2], np.float32))),
    "a pad of opset 10": Odd(model(f"(float[N, 3, 6, 6] x) => (float[N, 5] y) {{ z = Pad<pads = [0, 0, 1, 1, 0, 0, 1, 1]>(x) a = Conv(z, w) f = Relu(a) {HEAD} }}", 10)),
    "a squeeze of opset 11": Odd(model(NET.replace("v = Flatten(p)", "v = Squeeze<axes = [2, 3]>(p)"), 11)),
    "a mean of opset 13": Odd(model(NET.replace("p = GlobalAveragePool(f) v = Flatten(p)", "v = ReduceMean<axes = [2, 3], keepdims = 0>(f)"), 13)),
    "identities everywhere": Odd(model("(float[N, 3, 6, 6] x) => (float[N, 5] y) { i = Identity(x) j = Identity(w) a = Conv<pads = [1, 1, 1, 1]>(i, j) r = Relu(a) f = Identity(r) p = GlobalAveragePool(f) v = Flatten(p) z = Gemm(v, d, b) y = Identity(z) }")),
    "channels last": Odd(model(NET.replace("3, 6, 6] x", "6, 6, 3] x").replace("a = C", "t = Transpose<perm = [0, 3, 1, 2]>(x) a = C").replace("(x, w)", "(t, w)")), inputs={"x": X.transpose(0, 2, 3, 1)}),
    "channels last to the end": Odd(model("(float[N, 6, 6, 3] x) => (float[N, 5] y) { t = Transpose<perm = [0, 3, 1, 2]>(x) a = Conv<pads = [1, 1, 1, 1]>(t, w) l = Transpose<perm = [0, 2, 3, 1]>(a) f = Relu(l) v = ReduceMean<keepdims = 0>(f, hw) m = MatMul(v, d) y = Add(m, b) }", hw=np.array([1, 2])), inputs={"x": X.transpose(0, 2, 3, 1)}),
    "a weight that is reshaped": Odd(model(NET.replace("y = Gemm(v, d, b)", "e = Reshape(flat, two) m = MatMul(v, e) y = Add(b, m)"), flat=D.ravel(), two=np.array([4, 5]))),
    "a flatten by measured sizes": Odd(model(NET.replace("v = Flatten(p)", "s = Shape(p) n = Gather(s, nil) u = Unsqueeze(n, nought) l = Concat<axis = 0>(u, minus) v = Reshape(p, l)"), nil=np.array(0), nought=np.array([0]), minus=np.array([-1]))),
    "a final softmax": Odd(model(NET.replace("y = Gemm(v, d, b)", "z = Gemm(v, d, b) y = Softmax(z)"))),
    "a final softmax of opset 11": Odd(model(NET.replace("y = Gemm(v, d, b)", "z = Gemm(v, d, b) y = Softmax<axis = 1>(z)"), 11)),
    "integers among the outputs": Odd(model("(float[N, 3, 6, 6] x) => (int64[N] best, float[N, 5] y, float[N, 4, 6, 6] f) " + f"{{ {CONV} {HEAD} best = ArgMax<axis = 1, keepdims = 0>(y) }}")),
    "scores of rank 4": Odd(model("(float[N, 3, 6, 6] x) => (float[N, 5, 1, 1] y) " + f"{{ {CONV} p = GlobalAveragePool(f) y = Conv(p, k, b) }}", k=D.T.reshape(5, 4, 1, 1)), seed=(5, 1, 1)),
    "scores of rank 3": Odd(model("(float[N, 3, 6, 6] x) => (float[N, 1, 5] y) " + f"{{ {CONV} p = GlobalAveragePool(f) v = Flatten(p) z = Gemm(v, d, b) y = Unsqueeze(z, one) }}", one=np.array([1])), seed=(1, 5)),
    "bytes, cast": Odd(model(NET.replace("float[N, 3", "uint8[N, 3").replace("a = C", "i = Cast<to = 1>(x) a = C").replace("(x, w)", "(i, w)")), inputs={"x": BYTES}),
    "signed bytes, cast": Odd(model(NET.replace("float[N, 3", "int8[N, 3").replace("a = C", "i = Cast<to = 1>(x) a = C").replace("(x, w)", "(i, w)")), inputs={"x": (BYTES // 2).astype(np.int8)}),
    "double precision": Odd(model(NET.replace("float", "double"), w=W.astype(np.float64), d=D.astype(np.float64), b=B.astype(np.float64)), inputs={"x": X.astype(np.float64)}),
    "two images, added": Odd(model(NET.replace("(float[N, 3, 6, 6] x)", "(float[N, 3, 6, 6] left, float[N, 3, 6, 6] right)").replace("a = C", "x = Add(left, right) a = C")), inputs={"left": X - 1, "right": np.ones_like(X)}),
    "a second input behind the features": Odd(model(NET.replace("6] x)", "6] x, float[N, 4] more)").replace("y = G", "u = Add(v, more) y = G").replace("(v, d", "(u, d")), inputs={"x": X, "more": np.ones((1, 4), np.float32)}),
}
# fmt: on
