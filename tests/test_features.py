"""Further questions about the same images share their forward pass, and nobody ever gets that of another image."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_tensor
from backlit_server.engine.budget import Budget
from backlit_server.engine.engine import Engine
from backlit_server.engine.features import FEATURES, Features
from backlit_server.keeping import Keeping
from bare import ask, responses, stored

rng = np.random.default_rng(41)
METHODS = ("grad-cam", "layer-cam", "cam", "score", "fem")


@pytest.fixture
def digest(shared: Path, engine: Engine) -> str:
    return stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")


@pytest.fixture
def forgetful(engine: Engine) -> Engine:
    """An engine on the same store that runs everything anew."""
    return Engine(engine.store, "cpu", 2, keeping=Keeping(features_mb=0))


def images(count: int = 2) -> np.ndarray:
    return rng.normal(size=(count, 1, 40, 40)).astype(np.float32)


def test_a_second_method_runs_its_head_alone_and_its_maps_are_the_same_to_the_last_bit(engine, digest, forgetful, runs):
    x = images()
    for method in METHODS:  # what opening takes is not counted
        ask(engine, digest, images(), method, ["top2"])
    ask(engine, digest, x, "grad-cam", ["top2"])
    runs.clear()
    for method in METHODS[:3]:
        found = ask(engine, digest, x.copy(), method, ["top2"])
        assert runs.passes == []
        for (_, ours), (_, anew) in zip(found, ask(forgetful, digest, x, method, ["top2"]), strict=True):
            assert ours.tobytes() == anew.tobytes()
        runs.clear()


def test_the_answer_says_so_and_counts_the_passes_that_the_method_takes(engine, digest):
    x = images()
    told = [responses(engine, digest, x, method, [0])[-1][0].provenance for method in ("grad-cam", "layer-cam")]
    assert [one.forward_pass_reused for one in told] == [False, True]
    assert [one.forward_passes for one in told] == [1, 1]


def test_of_several_methods_each_tells_of_its_own_forward_pass(engine, digest):
    x = images(1)
    ask(engine, digest, x, "grad-cam", [0])
    methods = ("grad-cam", "saliency", "layer-cam")
    question = pb.Question(model=digest, method=methods[0], methods=methods[1:], targets=[pb.Target(class_index=0)])
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
    answers = [said[0] for said in engine.explain(request, [x]) if isinstance(said, tuple)]
    told = {one.explanations[0].method: one.provenance.forward_pass_reused for one in answers}
    assert told == {"grad-cam": True, "saliency": False, "layer-cam": True}


def test_what_is_measured_makes_every_pass_itself(engine, digest, runs):
    """Else the seconds of a method would be those of whoever asked before it."""
    x = images(1)
    measures = [pb.MeasureRequest(name="seconds")]
    question = pb.Question(model=digest, method="grad-cam", methods=["layer-cam"], measures=measures)
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
    for _ in engine.explain(request, [x]):  # sessions open, and whether images go together is tried
        pass
    runs.clear()
    answers = [said[0] for said in engine.explain(request, [x]) if isinstance(said, tuple)]
    assert [one.provenance.forward_pass_reused for one in answers] == [False, False]
    assert runs.images == [1, 1], "two passes to the layer"
    assert len(runs.heads) == 4, "a head for each, and the plain passes that the maps are measured by"


def altered(x: np.ndarray, place: int) -> np.ndarray:
    y = x.copy()
    y.flat[place] = np.nextafter(y.flat[place], np.float32(9))
    return y


@pytest.mark.parametrize("place", [0, 1, 1601, -1])
def test_the_last_bit_of_one_pixel_makes_another_image(engine, digest, runs, place):
    x = images()
    ask(engine, digest, x, "grad-cam", [0])
    runs.clear()
    ask(engine, digest, altered(x, place), "grad-cam", [0])
    assert runs.images == [2]


def test_inputs_are_compared_by_bits_and_not_by_value():
    features = Features(Budget(1 << 20, {FEATURES: 1 << 20}))
    zero, made = np.zeros((1, 3), np.float32), {"f": np.ones(2, np.float32)}
    features.remember("model", "graph", {"x": zero}, made)
    assert features.found("model", "graph", {"x": -zero}) is None
    assert features.found("model", "another", {"x": zero}) is None
    assert features.found("another", "graph", {"x": zero}) is None
    found = features.found("model", "graph", {"x": zero.copy()})
    assert found is not None
    assert np.array_equal(found["f"], made["f"])


def test_rows_of_a_larger_run_do_not_keep_the_others_alive():
    budget = Budget(1 << 20, {FEATURES: 1 << 20})
    whole = np.ones((8, 4), np.float32)
    Features(budget).remember("model", "graph", {"x": np.zeros(2, np.float32)}, {"f": whole[:1]})
    assert budget.used == 8 + 16


def test_a_deleted_model_leaves_no_features(engine, digest, runs):
    x = images()
    ask(engine, digest, x, "grad-cam", [0])
    engine.forget(digest)
    runs.clear()
    ask(engine, digest, x, "grad-cam", [0])
    assert runs.images == [2]
