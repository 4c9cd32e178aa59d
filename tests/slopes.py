"""Gradients beside central differences of plain ONNX Runtime, along random directions."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

import plain
from backlit_server.graph import differentiate

Feeds = Mapping[str, np.ndarray]
DIRECTIONS = 3


def assert_slopes(
    model: onnx.ModelProto, wrt: Sequence[str], feeds: Feeds, step: float = 1e-5, tolerance: float = 1e-7
) -> onnx.ModelProto:
    """The differentiated model, whose outputs are those of `model` and whose gradients are its slopes."""
    outputs = [o.name for o in model.graph.output if o.type.tensor_type.elem_type in (1, 11)]
    made = differentiate(model, outputs, wrt)
    onnx.checker.check_model(made)
    session = plain.session(model)
    values = dict(zip(outputs, map(np.asarray, session.run(outputs, dict(feeds))), strict=True))
    seeds = {y: random(y, value.shape).astype(value.dtype) for y, value in values.items()}
    names = [*outputs, *(f"grad/{x}" for x in wrt)]
    got = dict(
        zip(names, plain.values(made, names, {**feeds, **{f"grad/{y}": g for y, g in seeds.items()}}), strict=True)
    )
    for y, value in values.items():
        np.testing.assert_allclose(got[y], value, rtol=1e-5, atol=1e-6)
    for x in wrt:
        assert got[f"grad/{x}"].shape == feeds[x].shape
        assert got[f"grad/{x}"].dtype == feeds[x].dtype
        for n in range(DIRECTIONS):
            direction = random(f"{x} {n}", feeds[x].shape)
            moved = [np.asarray(feeds[x] + sign * step * direction, feeds[x].dtype) for sign in (1, -1)]
            ends = [map(np.asarray, session.run(outputs, {**feeds, x: there})) for there in moved]
            rises = {y: (up.astype(np.float64) - down) / (2 * step) for y, up, down in zip(outputs, *ends, strict=True)}
            slope = sum(np.vdot(seeds[y], rise) for y, rise in rises.items())
            size = np.linalg.norm(got[f"grad/{x}"]) * np.linalg.norm(direction) + 1e-3
            assert abs(np.vdot(got[f"grad/{x}"], direction) - slope) < tolerance * size, x
    return made


def random(name: str, shape: Sequence[int]) -> np.ndarray:
    return np.asarray(np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape))
