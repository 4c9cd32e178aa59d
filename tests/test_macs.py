"""Multiply-accumulates as people count them by hand, and as others publish them."""

from pathlib import Path

import pytest
from onnx import parser, shape_inference

from backlit_server.graph.macs import macs
from real_models import model_of

# The counts are written out: elements of the result times products in each.
NODES = {
    "a convolution": ("float[1,3,8,8] x, float[5,3,3,3] w", "Conv <pads=[1,1,1,1]> (x, w)", 5 * 8 * 8 * 3 * 3 * 3),
    "strides and no padding": ("float[2,3,9,9] x, float[4,3,3,3] w", "Conv <strides=[2,2]> (x, w)", 2 * 4 * 4 * 4 * 27),
    "one filter a channel": ("float[1,6,4,4] x, float[6,1,3,3] w", "Conv <group=6> (x, w)", 6 * 2 * 2 * 9),
    "two groups": ("float[1,4,5,5] x, float[6,2,1,1] w", "Conv <group=2> (x, w)", 6 * 25 * 2),
    "a transposed one": ("float[1,3,4,4] x, float[3,5,2,2] w", "ConvTranspose <strides=[2,2]> (x, w)", 3 * 16 * 5 * 4),
    "a matrix product": ("float[7,2,3] x, float[3,5] w", "MatMul (x, w)", 7 * 2 * 5 * 3),
    "a vector": ("float[2,3] x, float[3] w", "MatMul (x, w)", 2 * 3),
    "a dense layer": ("float[2,3] x, float[3,5] w, float[5] b", "Gemm (x, w, b)", 2 * 5 * 3),
    "one that is turned": ("float[3,2] x, float[5,3] w", "Gemm <transA=1, transB=1> (x, w)", 2 * 5 * 3),
    "a sum of products": ("float[2,3] x, float[3,4] w", 'Einsum <equation="ij,jk->ik"> (x, w)', 2 * 3 * 4),
    "no products": ("float[2,3] x, float[2,3] w", "Add (x, w)", 0),
}


@pytest.mark.parametrize("case", NODES)
def test_products_are_counted_as_by_hand(case: str) -> None:
    inputs, call, expected = NODES[case]
    text = f'<ir_version: 10, opset_import: ["": 21]> g ({inputs}) => (float y) {{ y = {call} }}'
    model = parser.parse_model(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert macs(shape_inference.infer_shapes(model).graph) == (expected, {})


def test_what_cannot_be_counted_is_told(shared: Path) -> None:
    counted, lost = macs(model_of(shared, "digits40-cnn-gap").graph)
    assert counted == 0
    assert set(lost) == {"Conv", "Gemm"}
    assert macs(model_of(shared, "silero-vad").graph)[1] == {"If": 1}
