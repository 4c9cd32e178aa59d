"""Weights shuffled from the scores down, for the sanity check."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from backlit_server.graph import canonical, examine
from backlit_server.graph.shuffling import shuffled

MODEL = "models/efficientnet-lite0.onnx"


@pytest.mark.parametrize("layers", [1, 2, 100])
def test_the_last_layers_of_weights_are_shuffled_and_no_others(shared, layers):
    model = canonical(onnx.load(shared / MODEL))
    made = shuffled(model, examine(model).scores.name, layers, 0)
    before = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    after = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    assert before.keys() == after.keys()
    changed = {name for name, values in after.items() if not np.array_equal(values, before[name])}
    assert all(np.array_equal(np.sort(after[name], None), np.sort(before[name], None)) for name in changed)
    weighing = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm", "MatMul")][::-1][:layers]
    assert changed == {name for node in weighing for name in node.input if name in before and before[name].size > 1}


def test_more_layers_shuffled_are_the_same_ones_and_more(shared):
    model = canonical(onnx.load(shared / MODEL))
    scores = examine(model).scores.name
    two, three = (shuffled(model, scores, layers, 5) for layers in (2, 3))
    first, second = ({t.name: t.raw_data for t in made.graph.initializer} for made in (two, three))
    own = {t.name: t.raw_data for t in model.graph.initializer}
    assert all(second[name] == values for name, values in first.items() if values != own[name])
