"""RNN, LSTM and GRU beside ONNX Runtime's own kernels: the same values, and gradients that are their slopes."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import plain
from backlit_server.graph import differentiate
from slopes import assert_slopes, random

T, N, I, H = 4, 2, 3, 2  # noqa: E741  (time, batch, input, hidden: the letters of the specification)
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
OUTPUTS = {"RNN": ["Y", "Y_h"], "LSTM": ["Y", "Y_h", "Y_c"], "GRU": ["Y", "Y_h"]}
LENGTHS = np.array([2, 4], np.int32)
BOTH = {"direction": "bidirectional"}

# operator, what it is given besides X, W and R, attributes
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("RNN", "", {}),
    ("RNN", "B lengths h", BOTH),
    ("RNN", "B lengths h", {"direction": "reverse"}),
    ("RNN", "B h", {"clip": 0.4}),
    ("RNN", "B", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}),
    (
        "RNN",
        "B",
        {"activations": ["LeakyRelu", "ScaledTanh"], "activation_alpha": [0.2, 0.7], "activation_beta": [0.6], **BOTH},
    ),
    (
        "RNN",
        "B",
        {"activations": ["Elu", "HardSigmoid"], "activation_alpha": [0.5, 0.3], "activation_beta": [0.4], **BOTH},
    ),
    ("RNN", "B", {"activations": ["Softsign", "Softplus"], **BOTH}),
    ("RNN", "B", {"activations": ["Relu", "ThresholdedRelu"], "activation_alpha": [0.1], **BOTH}),
    ("GRU", "", {}),
    ("GRU", "B lengths h", BOTH),
    ("GRU", "B lengths h", {"linear_before_reset": 1, **BOTH}),
    ("GRU", "B h", {"linear_before_reset": 1, "direction": "reverse"}),
    ("GRU", "B h", {"clip": 0.4}),
    ("GRU", "B", {"activations": ["HardSigmoid", "Softsign"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("LSTM", "", {}),
    ("LSTM", "B lengths h c p", BOTH),
    ("LSTM", "B lengths h c p", {"direction": "reverse"}),
    ("LSTM", "B c", {"input_forget": 1}),
    ("LSTM", "B h c p", {"input_forget": 1, "clip": 0.4}),
    ("LSTM", "B h c", {"clip": 0.9, **BOTH}),
    ("LSTM", "B h", {"activations": ["HardSigmoid", "Tanh", "Softsign"]}),
]


def network(
    op: str, given: str, attributes: dict[str, Any], outputs: list[str]
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """One node on its own, with sizes that stay free, and what to feed it."""
    d, g = 1 + (attributes.get("direction") == "bidirectional"), GATES[op]
    shapes = {"X": (T, N, I), "W": (d, g * H, I), "R": (d, g * H, H), "B": (d, 2 * g * H)}
    shapes |= {"lengths": (N,), "h": (d, N, H), "c": (d, N, H), "p": (d, 3 * H)}
    names = ["X", "W", "R", *(name if name in given.split() else "" for name in ("B", "lengths", "h", "c", "p"))]
    node = helper.make_node(op, names[: 8 if op == "LSTM" else 6], outputs, hidden_size=H, **attributes)
    free = {"X": ("T", "N", I), "h": (d, "N", H), "c": (d, "N", H), "lengths": ("N",)}
    inputs = [
        helper.make_tensor_value_info(name, 6 if name == "lengths" else 1, free.get(name, shapes[name]))
        for name in names
        if name
    ]
    typed = [helper.make_tensor_value_info(y, 1, ["?"] * (4 if y == "Y" else 3)) for y in outputs if y]
    graph = helper.make_graph([node], op, inputs, typed)
    feeds = {
        i.name: LENGTHS if i.name == "lengths" else random(i.name, shapes[i.name]).astype(np.float32) for i in inputs
    }
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), feeds


@pytest.mark.parametrize(("op", "given", "attributes"), CASES)
def test_gradients_are_the_slopes_of_the_kernel(op: str, given: str, attributes: dict[str, Any]) -> None:
    model, feeds = network(op, given, attributes, OUTPUTS[op])
    wrt = [name for name, value in feeds.items() if value.dtype == np.float32]
    assert_slopes(model, wrt, feeds, step=2e-3, tolerance=1e-3)


@pytest.mark.parametrize(("op", "outputs"), [("LSTM", ["", "", "Y_c"]), ("LSTM", ["", "Y_h"]), ("GRU", ["Y"])])
def test_outputs_may_be_left_out(op: str, outputs: list[str]) -> None:
    model, feeds = network(op, "B", {}, outputs)
    assert_slopes(model, ["X", "R"], feeds, step=1e-2, tolerance=3e-3)


@pytest.mark.parametrize("op", GATES)
def test_the_batch_may_come_first(op: str) -> None:
    """ONNX Runtime has no kernel for it; the gradient brings its own Scan."""
    ahead, feeds = network(op, "B h", {}, OUTPUTS[op])
    behind, _ = network(op, "B h", {"layout": 1}, OUTPUTS[op])
    for value in behind.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in ("X", "h"):
            dims.insert(0, dims.pop(1))
    turned = {name: a.swapaxes(0, 1) if name in ("X", "h") else a for name, a in feeds.items()}
    g = random("g", (T, 1, N, H)).astype(np.float32)
    wrt = ["X", "h", "W"]
    names = [f"grad/{x}" for x in wrt]
    want = plain.values(differentiate(ahead, ["Y"], wrt), names, {**feeds, "grad/Y": g})
    got = plain.values(differentiate(behind, ["Y"], wrt), names, {**turned, "grad/Y": g.transpose((2, 0, 1, 3))})
    for there, here in zip(want, [got[0].swapaxes(0, 1), got[1].swapaxes(0, 1), got[2]], strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-6)
