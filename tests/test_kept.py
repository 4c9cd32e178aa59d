"""Open models: their weights once, on a shelf, their graphs optimised once a machine; eviction fails no question."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from backlit_proto.errors import Overloaded
from backlit_server.engine.budget import Budget, Key
from backlit_server.engine.engine import Engine
from backlit_server.engine.kept import MODEL, SESSION, Apart, Shelved
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Runtime
from backlit_server.engine.shelf import Shelf, Shelves
from backlit_server.engine.trial import sample
from backlit_server.keeping import Keeping
from bare import ask, stored

rng = np.random.default_rng(43)
GB = 1 << 30
REAL = ("efficientnet-lite0", "vit_tiny_patch16_224", "squeezenet11-qdq-int8", "mnist-cntk", "ultraface-rfb320")
# No method of image gradients here: what their heads take is not the question.
ASKED = ("grad-cam", "score", "saliency")


def toy(seed: int = 0, channels: int = 64) -> onnx.ModelProto:
    """Two convolutions and a dense layer; the second weight alone has 144 KB at 64 channels."""
    random = np.random.default_rng(seed)
    net = parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
        net (float[N, 3, 12, 12] x) => (float[N, 5] y) {
            a = Conv<pads = [1, 1, 1, 1]>(x, w)
            b = Relu(a)
            c = Conv<pads = [1, 1, 1, 1]>(b, v)
            f = Relu(c)
            p = GlobalAveragePool(f)
            q = Flatten(p)
            y = MatMul(q, d)
        }""")
    shapes = {"w": (channels, 3, 3, 3), "v": (channels, channels, 3, 3), "d": (channels, 5)}
    for name, shape in shapes.items():
        net.graph.initializer.append(numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    return net


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def put(engine: Engine, folder: Path, seed: int = 0, channels: int = 64) -> str:
    onnx.save(toy(seed, channels), folder / f"{seed}.onnx")
    return stored(engine.store, folder / f"{seed}.onnx")


def picture(count: int = 1) -> np.ndarray:
    return rng.normal(size=(count, 3, 12, 12)).astype(np.float32)


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


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.unlink()  # whoever has the old bytes mapped keeps them
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [flipped, Path.unlink], ids=["flipped", "missing"])
@pytest.mark.parametrize("kind", ["graph", "weight"])
def test_what_is_damaged_on_the_shelf_is_made_anew(runtime, shelf, harm: Callable[[Path], None], kind: str):
    x = {"x": picture()}
    expected = open_model(toy(), Shelved(runtime, Budget(GB), "toy", shelf)).plain.run(x)
    sound = {path.name: path.read_bytes() for path in shelf.folder.iterdir()}
    harmed = [path for path in shelf.folder.iterdir() if (path.suffix == ".graph") == (kind == "graph")]
    for path in harmed:
        if path.name != "lock":
            harm(path)
    found = open_model(toy(), Shelved(runtime, Budget(GB), "toy", Shelf(shelf.folder))).plain.run(x)
    assert found["y"].tobytes() == expected["y"].tobytes()
    assert {path.name for path in shelf.folder.iterdir()} == set(sound)
    for name in (name for name in sound if len(name) == 64):
        assert hashlib.sha256((shelf.folder / name).read_bytes()).hexdigest() == name


def test_a_graph_that_is_kept_is_not_optimised_again(runtime: Runtime, shelf: Shelf, monkeypatch):
    open_model(toy(), Shelved(runtime, Budget(GB), "toy", shelf)).plain  # noqa: B018
    monkeypatch.setattr(Shelved, "_made", None)
    assert open_model(toy(), Shelved(runtime, Budget(GB), "toy", Shelf(shelf.folder))).plain.inputs == ("x",)


def test_other_machines_and_runtimes_have_graphs_of_their_own(runtime: Runtime, shelf: Shelf, monkeypatch):
    open_model(toy(), Shelved(runtime, Budget(GB), "toy", shelf)).plain  # noqa: B018
    graphs = len(list(shelf.folder.glob("*.graph")))
    monkeypatch.setattr("backlit_server.engine.kept.machine", lambda: "another")
    open_model(toy(), Shelved(runtime, Budget(GB), "toy", Shelf(shelf.folder))).plain  # noqa: B018
    assert len(list(shelf.folder.glob("*.graph"))) == 2 * graphs


def test_without_a_shelf_sessions_count_with_their_model(runtime: Runtime):
    budget = Budget(GB)
    model = open_model(toy(), Apart(runtime, budget, "toy"))
    assert model.plain.inputs == ("x",)
    before = budget.own(Key(MODEL, "toy"))
    assert model.backbones.at("b").session.outputs == ("y", "b")
    assert budget.own(Key(MODEL, "toy")) - before >= 2 * toy().ByteSize()


def fill(folder: Shelf, size: int) -> None:
    folder.keep(bytes(size))


def test_folders_used_longest_ago_go_first_but_never_those_that_are_open(tmp_path: Path):
    shelves = Shelves(tmp_path, 250)
    for age, name in enumerate("abcd"):
        fill(shelves.open(name), 100)
        os.utime(tmp_path / name, (age, age))
    held = Shelf(tmp_path / "a")
    os.utime(held.folder, (0, 0))
    shelves.shrink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d"]
    assert shelves.recent() == ["d", "a"]


def test_a_folder_that_was_removed_can_be_opened_again(tmp_path: Path):
    shelves = Shelves(tmp_path, 250)
    fill(shelves.open("a"), 100)
    shelves.remove("a")
    assert shelves.recent() == []
    assert shelves.open("a").keep(b"x").read_bytes() == b"x"


def test_models_used_last_answer_a_made_up_question_before_anybody_asks(tmp_path: Path):
    first = Engine(tmp_path, "cpu", 2)
    digests = [put(first, tmp_path, seed) for seed in range(3)]
    for age, digest in enumerate(digests):
        ask(first, digest, picture(), "grad-cam", [0])
        os.utime(tmp_path / "optimised" / digest, (age, age))
    again = Engine(tmp_path, "cpu", 2, keeping=Keeping(preload=2))
    assert len(list(again.warm_up())) >= 2
    warm = [digest for digest in digests if again._models.budget.own(Key(MODEL, digest))]
    assert warm == digests[1:]


def test_models_that_are_named_are_made_ready_whether_they_were_used_or_not(tmp_path: Path):
    first = Engine(tmp_path, "cpu", 2)
    digests = [put(first, tmp_path, seed) for seed in range(3)]
    again = Engine(tmp_path, "cpu", 2, keeping=Keeping(preload=f"{digests[2]},{'0' * 64},{digests[0]}"))
    list(again.warm_up())
    assert [again._models.budget.own(Key(MODEL, digest)) > 0 for digest in digests] == [True, False, True]


def test_no_more_is_made_ready_than_half_of_the_memory_holds(tmp_path: Path):
    first = Engine(tmp_path, "cpu", 2)
    digests = [put(first, tmp_path, seed) for seed in range(3)]
    again = Engine(tmp_path, "cpu", 2, keeping=Keeping(preload=",".join(digests)))
    again._models.budget.limit = 1 << 20
    list(again.warm_up())
    opened = [again._models.budget.own(Key(MODEL, digest)) > 0 for digest in digests]
    assert 0 < sum(opened) < 3, again._models.budget.used


def test_a_model_that_was_deleted_or_damaged_does_not_keep_others_from_being_made_ready(tmp_path: Path):
    first = Engine(tmp_path, "cpu", 2)
    digests = [put(first, tmp_path, seed) for seed in range(3)]
    for age, digest in enumerate(digests):
        ask(first, digest, picture(), "grad-cam", [0])
        os.utime(tmp_path / "optimised" / digest, (age, age))
    (tmp_path / "models" / digests[2] / "model.onnx").unlink()
    (tmp_path / "models" / digests[1] / "model.onnx").unlink()
    (tmp_path / "models" / digests[1] / "model.onnx").write_bytes(b"no model")
    again = Engine(tmp_path, "cpu", 2)
    list(again.warm_up())
    assert [again._models.budget.own(Key(MODEL, digest)) > 0 for digest in digests] == [True, False, False]
