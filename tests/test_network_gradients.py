"""Gradients of whole networks, from the scores to the picture."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_server.graph import differentiate

NETWORKS = [
    "age-resnet10-dlib",
    "catsordogs-nhwc",
    "digits40-cnn-gap",
    "digits40-vit-tiny",
    "gender-dlib",
    "mnist-cntk",
    "mnist-dianna",
    "mobilevit_xxs",
    "pplcnet-orientation",
    "vww96-mnv1-nhwc",
]


@pytest.mark.parametrize("name", NETWORKS)
def test_along_its_gradient_a_network_climbs_as_steeply_as_the_gradient_is_long(name: str, shared: Path) -> None:
    """In single precision, across many kinks, random directions drown in rounding; the gradient's own does not."""
    net = onnx.load(shared / "models" / f"{name}.onnx")
    given = {t.name for t in net.graph.initializer}
    (x,) = (i for i in net.graph.input if i.name not in given)
    y = net.graph.output[0].name
    made = differentiate(net, [y], [x.name])
    rng = np.random.default_rng(3)
    shape = [d.dim_value or 1 for d in x.type.tensor_type.shape.dim]
    image = rng.uniform(-1, 1, shape).astype(np.float32)
    forward = plain.session(net)
    scores = np.asarray(forward.run([y], {x.name: image})[0])
    seed = rng.standard_normal(scores.shape).astype(np.float32)
    session = plain.session(made)
    again, g = session.run([y, f"grad/{x.name}"], {x.name: image, f"grad/{y}": seed})
    assert np.allclose(np.asarray(again), scores, rtol=1e-4, atol=1e-6)
    g = np.asarray(g, np.float64)
    length = np.linalg.norm(g)
    errors = []
    for step in (1e-2, 3e-3, 1e-3, 3e-4):
        move = step * np.linalg.norm(image) * g / length
        ends = [(image + sign * move).astype(np.float32) for sign in (1, -1)]
        up, down = (np.asarray(forward.run([y], {x.name: end})[0], np.float64) for end in ends)
        way = np.vdot(ends[0].astype(np.float64) - ends[1], g) / length
        errors.append(abs(np.vdot(seed, up - down) / way / length - 1))
    assert min(errors) < 2e-2, errors
