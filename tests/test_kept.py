"""Open models: their weights once, on a shelf, their graphs optimised once a machine; eviction fails no question."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from backlit_proto.errors import Overloaded
from backlit_server.engine.budget import Budget, Key
from backlit_server.engine.engine import Engine
from backlit_server.engine.kept import MODEL, SESSION, Apart, Shelved
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Runtime
from backlit_server.engine.shelf import Shelf
from backlit_server.engine.trial import sample
from backlit_server.keeping import Keeping
from bare import ask
from toy_nets import picture, put, toy

rng = np.random.default_rng(43)


GB = 1 << 30


REAL = ("efficientnet-lite0", "vit_tiny_patch16_224", "squeezenet11-qdq-int8", "mnist-cntk", "ultraface-rfb320")


# No method of image gradients here: what their heads take is not the question.
ASKED = ("grad-cam", "score", "saliency")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


@pytest.mark.parametrize("name", REAL)
def test_mapped_weights_give_the_scores_and_maps_of_weights_of_its_own(shared, runtime, shelf, name):
    file = onnx.load(shared / "models" / f"{name}.onnx")
    own = open_model(file, runtime)
    first = open_model(file, Shelved(runtime, Budget(GB), name, shelf))
    again = open_model(file, Shelved(runtime, Budget(GB), name, Shelf(shelf.folder)))
    assert first.anatomy == own.anatomy
    assert first.graph.ByteSize() < max(own.graph.ByteSize() // 5, 300_000)
    x = sample(own.anatomy, 1, seed=7)
    layer = own.anatomy.default_layer
    for model in (first, again):
        expected, found = own.backbones.at(layer).session.run(x), model.backbones.at(layer).session.run(x)
        for tensor, array in expected.items():
            assert found[tensor].tobytes() == array.tobytes()
        assert (
            model.plain.run(x)[own.anatomy.scores.name].tobytes() == own.plain.run(x)[own.anatomy.scores.name].tobytes()
        )


def test_variants_of_a_model_share_their_weights(runtime: Runtime, shelf: Shelf):
    budget = Budget(GB)
    model = open_model(toy(channels=256), Shelved(runtime, budget, "toy", shelf))
    assert model.plain.inputs == ("x",)
    before, size = budget.used, toy(channels=256).ByteSize()
    for layer in ("a", "b", "c", "f"):
        assert model.backbones.at(layer).session.outputs
    assert budget.used - before < 0.1 * size
    assert before > 0.9 * size


def test_a_session_that_went_is_loaded_again_when_it_runs(runtime: Runtime, shelf: Shelf):
    budget = Budget(GB)
    session = open_model(toy(), Shelved(runtime, budget, "toy", shelf)).plain
    x = {"x": picture()}
    expected = session.run(x)
    budget.drop(Key(SESSION, "toy", session.digest))
    assert session.run(x)["y"].tobytes() == expected["y"].tobytes()
    assert budget.get(Key(SESSION, "toy", session.digest)) is not None


def test_what_is_in_flight_goes_on_when_all_that_is_kept_goes(engine: Engine, tmp_path: Path):
    """The model and its sessions are evicted, and other models opened, between two passes of a method of many."""
    small = Engine(engine.store, "cpu", 2, keeping=Keeping(memory=4, features_mb=0))
    digest, others = put(engine, tmp_path), [put(engine, tmp_path, seed, 128) for seed in range(1, 5)]
    x = picture()
    expected = ask(engine, digest, x, "integrated-gradients", [1], steps=8)
    steps = asking(small, digest, x, "integrated-gradients", steps=8)
    answers = []
    for turn, answer in enumerate(steps):
        answers.append(answer)
        ask(small, others[turn % 4], picture(), "grad-cam", [0])
        small._models.budget.forget(digest)
    assert len(answers) > 2
    assert answers[-1] is not None
    np.testing.assert_array_equal(answers[-1][1][0], expected[0][1])


def asking(engine: Engine, digest: str, x: np.ndarray, method: str, **parameters):
    from backlit_proto import backlit_pb2 as pb
    from backlit_proto.tensors import to_tensor

    question = pb.Question(model=digest, method=method, targets=[pb.Target(class_index=1)])
    question.parameters.update(parameters)
    return engine.explain(pb.ExplainRequest(question=question, inputs={"": to_tensor(x)}), [x])


def test_models_beyond_the_budget_go_and_come_back(tmp_path: Path):
    engine = Engine(tmp_path, "cpu", 2, keeping=Keeping(memory=2, features_mb=0))
    digests = [put(engine, tmp_path, seed) for seed in range(30)]
    x = picture()
    first = [ask(engine, digest, x, "grad-cam", [0])[0][1] for digest in digests]
    assert engine._models.budget.used <= 2 << 20
    kept = [digest for digest in digests if engine._models.budget.own(Key(MODEL, digest))]
    assert 0 < len(kept) < len(digests)
    assert kept == digests[-len(kept) :]
    for digest, expected in zip(digests, first, strict=True):
        assert ask(engine, digest, x, "grad-cam", [0])[0][1].tobytes() == expected.tobytes()


def test_a_model_larger_than_the_budget_is_refused_with_the_figures_and_others_are_served(tmp_path: Path):
    engine = Engine(tmp_path, "cpu", 2, keeping=Keeping(memory=1, features_mb=0))
    small, large = put(engine, tmp_path, 0, 16), put(engine, tmp_path, 1, 256)
    before = ask(engine, small, picture(), "grad-cam", [0])
    with pytest.raises(Overloaded, match=r"needs 3 MB of memory, and 1 MB are all .* --memory"):
        ask(engine, large, picture(), "grad-cam", [0])
    assert before[0][1].shape == ask(engine, small, picture(), "grad-cam", [0])[0][1].shape


def test_without_a_shelf_sessions_count_with_their_model(runtime: Runtime):
    budget = Budget(GB)
    model = open_model(toy(), Apart(runtime, budget, "toy"))
    assert model.plain.inputs == ("x",)
    before = budget.own(Key(MODEL, "toy"))
    assert model.backbones.at("b").session.outputs == ("y", "b")
    assert budget.own(Key(MODEL, "toy")) - before >= 2 * toy().ByteSize()
