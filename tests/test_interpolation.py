"""Every kind of interpolation against ONNX's own reference of Resize."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from backlit_server.methods.interpolation import INTERPOLATIONS
from backlit_server.methods.scaling import resize

RAW = np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)
RESIZES = {
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    "corners": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    "cubic": {"mode": "cubic", "coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.75},
    "cubic-within": {
        "mode": "cubic",
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.5,
        "exclude_outside": 1,
    },
    "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
}


def test_every_kind_has_a_reference():
    assert set(RESIZES) == set(INTERPOLATIONS)


@pytest.mark.parametrize("size", [(28, 15), (16, 9), (7, 5), (21, 5), (4, 3)])
@pytest.mark.parametrize("kind", RESIZES)
def test_kinds_equal_the_resize_of_the_specification(kind, size):
    resized = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **RESIZES[kind])
    graph = helper.make_graph(
        [resized],
        "resize",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, RAW.shape),
            helper.make_tensor_value_info("sizes", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, size)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    (expected,) = ReferenceEvaluator(model).run(None, {"x": RAW, "sizes": np.array(size)})
    assert np.allclose(resize(RAW, size, kind), expected, atol=1e-5)
