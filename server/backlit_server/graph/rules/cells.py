"""The equations of RNN, LSTM and GRU (ONNX operator specification): new states of old ones.

A cell gets the functions, the gates of the input (x W + b), the states, for each group of gates its product with h
(h -> h R + b), and the peepholes.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from backlit_server.graph.recording.sym import Array

Function = Callable[[Array], Array]
Functions = Sequence[Function]
States = Sequence[Array]


def rnn(functions: Functions, gates: Array, states: States, products: Functions, _: Array) -> States:
    """h' = f(x W + h R + b)."""
    return [functions[0](gates + products[0](states[0]))]


def lstm(functions: Functions, gates: Array, states: States, products: Functions, p: Array) -> States:
    """i, f = s(x W + h R + b + p c), c' = f c + i g(x W + h R + b), o = s(x W + h R + b + p c'), h' = o k(c')."""
    (s, g, k), (h, c) = functions, states
    i, o, f, n = _split(gates + products[0](h), 4)
    pi, po, pf = _peepholes(p)
    new = s(_seeing(f, pf, c)) * c + s(_seeing(i, pi, c)) * g(n)
    return [s(_seeing(o, po, new)) * k(new), new]


def coupled_lstm(functions: Functions, gates: Array, states: States, products: Functions, p: Array) -> States:
    """The same with f = 1 - i."""
    (s, g, k), (h, c) = functions, states
    i, o, _, n = _split(gates + products[0](h), 4)
    pi, po, _ = _peepholes(p)
    enters = s(_seeing(i, pi, c))
    new = (1 - enters) * c + enters * g(n)
    return [s(_seeing(o, po, new)) * k(new), new]


def gru(functions: Functions, gates: Array, states: States, products: Functions, _: Array) -> States:
    """z, r = s(x W + h R + b), n = g(x W + (r h) R + b), h' = (1 - z) n + z h."""
    (s, g), (h,) = functions, states
    size = h.shape[-1]
    z, r = _split(s(gates[:, : 2 * size] + products[0](h)), 2)
    n = g(gates[:, 2 * size :] + products[1](r * h))
    return [n + z * (h - n)]


def gru_reset_after(functions: Functions, gates: Array, states: States, products: Functions, _: Array) -> States:
    """The same with n = g(x W + r (h R + b) + b)."""
    (s, g), (h,) = functions, states
    size = h.shape[-1]
    z, r = _split(s(gates[:, : 2 * size] + products[0](h)), 2)
    n = g(gates[:, 2 * size :] + r * products[1](h))
    return [n + z * (h - n)]


def _split(t: Array, parts: int) -> tuple[Array, ...]:
    return t.op("Split", [t.shape[-1] // parts] * parts, outputs=parts, axis=-1)


def _peepholes(p: Array) -> tuple[Array, ...]:
    return (None, None, None) if p is None else _split(p, 3)


def _seeing(gate: Array, p: Array, c: Array) -> Array:
    return gate if p is None else gate + p * c


# f(x, alpha, beta), and the default alpha and beta of those that have them
Activation = tuple[Callable[..., Array], float | None, float | None]
ACTIVATIONS: Mapping[str, Activation] = {
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "elu": (lambda x, a, b: x.op("Elu", alpha=a), 1.0, None),
    "hardsigmoid": (lambda x, a, b: x.op("HardSigmoid", alpha=a, beta=b), 0.2, 0.5),
    "leakyrelu": (lambda x, a, b: x.op("LeakyRelu", alpha=a), 0.01, None),
    "relu": (lambda x, a, b: x.op("Relu"), None, None),
    "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "sigmoid": (lambda x, a, b: x.op("Sigmoid"), None, None),
    "softplus": (lambda x, a, b: x.op("Softplus"), None, None),
    "softsign": (lambda x, a, b: x.op("Softsign"), None, None),
    "tanh": (lambda x, a, b: np.tanh(x), None, None),
    "thresholdedrelu": (lambda x, a, b: x.op("ThresholdedRelu", alpha=a), 1.0, None),
}


def functions_of(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float], clips: Sequence[float | None]
) -> list[Function]:
    """The activations by name; those that have an alpha or beta take the next one given, in their order."""
    alpha, beta, made = iter(alphas), iter(betas), []
    for name, clip in zip(names, clips, strict=True):
        function, a, b = ACTIVATIONS[name.lower()]
        a, b = a if a is None else next(alpha, a), b if b is None else next(beta, b)
        made.append(_clipped(function, a, b, clip))
    return made


def _clipped(function: Callable[..., Array], a: float | None, b: float | None, clip: float | None) -> Function:
    if not clip:
        return lambda x: function(x, a, b)
    return lambda x: function(x.clip(-clip, clip), a, b)
