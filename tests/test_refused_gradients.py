"""What has no gradient is refused before anything is emitted, and every node in the way is named."""

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion, NotDifferentiable
from backlit_server.graph import differentiate
from backlit_server.graph.vjp import VJPS
from written import model

RELU = "(float[N,3] x) => (float[N,3] y) { y = Relu(x) }"


def test_every_node_in_the_way_is_named_with_the_path() -> None:
    net = model("""(float[2,2] x) => (float[2] y) {
        a = Exp(x)  [first] b = Det(a)  [second] c = DFT(a)  d = Concat<axis=0>(b, c)  y = Neg(d) }""")
    rules = {op: rule for op, rule in VJPS.items() if op not in ("Exp", "Det", "DFT")}
    with pytest.raises(NotDifferentiable) as refused:
        differentiate(net, ["y"], ["x"], rules)
    for word in ("Exp", "Det", "first", "DFT", "second", "'x'", "'y'", "x -> "):
        assert word in refused.value.message
    assert refused.value.details["ops"] == "DFT, Det, Exp"


def test_rules_that_refuse_are_all_named() -> None:
    crop = 'Resize<coordinate_transformation_mode="tf_crop_and_resize", mode="linear", antialias=1>'
    text = f"(float[4] x) => (float[4] y) {{ [n1] a = {crop}(x, roi, , size)  [n2] y = {crop}(a, roi, , size) }}"
    with pytest.raises(NotDifferentiable, match=r"n2, n1.*antialias"):
        differentiate(model(text, roi=np.array([0, 1], np.float32), size=np.array([4])), ["y"], ["x"])


def test_a_tensor_the_outputs_do_not_depend_on_is_refused() -> None:
    net = model("(float[2,3] x, float[2,3] z) => (float[2,3] y) { y = Exp(x) }")
    with pytest.raises(NotDifferentiable, match="do not depend on 'z'"):
        differentiate(net, ["y"], ["x", "z"])


def test_whole_numbers_have_no_gradient() -> None:
    net = model("(int64[2] i, float[3] x) => (float[2] y) { y = Gather(x, i) }")
    with pytest.raises(NotDifferentiable, match="'i' does not hold floating-point numbers"):
        differentiate(net, ["y"], ["i"])


@pytest.mark.parametrize(("outputs", "wrt"), [(["y"], ["nothing"]), (["nothing"], ["x"]), (["y"], ["x", "x"])])
def test_a_tensor_that_is_not_there_or_asked_for_twice_is_a_bad_question(outputs: list[str], wrt: list[str]) -> None:
    with pytest.raises(BadQuestion):
        differentiate(model(RELU), outputs, wrt)
