"""What goes from one session into another stays on the device: the CPU plays one, and every bit must be the same."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine import providers
from backlit_server.engine.engine import Engine
from backlit_server.engine.providers import CPU
from backlit_server.engine.resident import Held, Place, Resident
from backlit_server.engine.runtime import Interrupted, Runtime
from backlit_server.keeping import Keeping
from bare import ask, responses, stored
from joined import answers, question
from real_models import small

rng = np.random.default_rng(83)


FRESH = Keeping(features_mb=0)


LEFT = rng.normal(size=(3, 2)).astype(np.float32)
RELU = small("g (float[n, k] x) => (float[n, k] y) { y = Relu(x) }")


@pytest.fixture(scope="module")
def plain(store: Path) -> Engine:
    return Engine(store, "cpu", 2, keeping=FRESH)


@pytest.fixture(scope="module")
def keeping_device() -> Iterator[None]:
    """From here on runtimes leave tensors where they are, as on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(providers, "KEEPING", {CPU: "cpu"})
        yield


@pytest.fixture(scope="module")
def bound(store: Path, plain: Engine, keeping_device) -> Engine:
    return Engine(store, "cpu", 2, keeping=FRESH)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of every tensor that was brought to the host."""
    found: list[tuple[int, ...]] = []

    def noted(self: Held) -> np.ndarray:
        found.append(tuple(self.value.shape()))
        return self.value.numpy()

    monkeypatch.setattr(Held, "numbers", property(noted))
    return found


SIZES = {
    "digits40-cnn-gap": (1, 40, 40),
    "digits40-vit-tiny": (1, 40, 40),
    "ultraface-rfb320": (3, 240, 320),
    "three": (3, 8, 8),
}


ASKED = [
    # model, methods: formulas, forward only, many passes, the image, every layer of a transformer
    ("digits40-cnn-gap", ("grad-cam", "grad-cam++", "cam", "fem", "ablation-cam", "smooth-grad-cam++", "saliency")),
    ("digits40-vit-tiny", ("layer-cam", "eigen-cam", "attention-rollout")),
    ("ultraface-rfb320", ("grad-cam",)),  # a head for each scale, which gets the rows of single images
]


@pytest.mark.parametrize(("name", "methods"), ASKED)
@pytest.mark.parametrize("count", [1, 3])
def test_maps_are_the_same_to_the_last_bit(shared: Path, plain: Engine, bound: Engine, name, methods, count: int):
    file = shared / "models" / f"{name}.onnx"
    digest, x = stored(plain.store, file), rng.random((count, *SIZES[name]), np.float32)
    for method in methods:
        ours, theirs = (ask(engine, digest, x, method, ["top3"]) for engine in (bound, plain))
        assert [told.SerializeToString() for told, _ in ours] == [told.SerializeToString() for told, _ in theirs]
        assert [heatmap.tobytes() for _, heatmap in ours] == [heatmap.tobytes() for _, heatmap in theirs]


def test_the_maps_of_all_classes_are_the_same(shared: Path, plain: Engine, bound: Engine):
    digest = stored(plain.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = rng.random((2, 1, 40, 40), np.float32)
    ours, theirs = (
        [maps.tobytes() for _, (maps,) in responses(engine, digest, x, "grad-cam", [pb.Target(all=True)])]
        for engine in (bound, plain)
    )
    assert ours == theirs


def test_a_formula_reads_its_features_where_they_are(shared: Path, bound: Engine, read):
    digest = stored(bound.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = rng.random((2, 1, 40, 40), np.float32)
    for method in ("grad-cam", "layer-cam", "xgrad-cam"):
        ask(bound, digest, x, method, ["top2"])
    assert read == []
    ask(bound, digest, x, "feature-maps")
    assert read != [], "who shows the features has to read them"


@pytest.mark.parametrize("name", ["digits40-cnn-gap", "three"])
def test_questions_that_share_a_run_get_their_rows_of_it(shared: Path, plain: Engine, bound: Engine, name: str):
    """Of one model rows begin where tensors would, of the other they do not and go by way of the host."""
    digest = stored(plain.store, FILES[name](shared, plain.store))
    asked = [
        (question(digest, method, [1]), {"": rng.random((count, *SIZES[name]), np.float32)})
        for method, count in (("grad-cam", 1), ("layer-cam", 2), ("hires-cam", 1))
    ]
    for ours, theirs in zip(answers(bound, asked), answers(plain, asked), strict=True):
        assert isinstance(ours, list)
        assert isinstance(theirs, list)
        assert [heatmap.tobytes() for _, heatmap in ours] == [heatmap.tobytes() for _, heatmap in theirs]


def three_channels(_: Path, folder: Path) -> Path:
    model = small(
        """g (float[N, 3, 8, 8] x) => (float[N, 5] y) {
            f = Conv(x, w)
            r = Relu(f)
            p = GlobalAveragePool(r)
            v = Flatten(p)
            y = MatMul(v, d)
        }""",
        w=rng.normal(size=(3, 3, 3, 3)).astype(np.float32),
        d=rng.normal(size=(3, 5)).astype(np.float32),
    )
    onnx.save(model, folder / "three.onnx")
    return folder / "three.onnx"


FILES = {"digits40-cnn-gap": lambda shared, _: shared / "models" / "digits40-cnn-gap.onnx", "three": three_channels}


def test_a_later_question_finds_the_features_still_on_the_device(shared: Path, plain: Engine, keeping_device, read):
    engine = Engine(plain.store, "cpu", 2)
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = rng.random((2, 1, 40, 40), np.float32)
    ask(engine, digest, x, "grad-cam", [3])
    later = responses(engine, digest, x, "layer-cam", [3])
    assert [response.provenance.forward_pass_reused for response, _ in later] == [True]
    assert read == []
    (theirs,) = [maps for _, maps in responses(plain, digest, x, "layer-cam", [3])]
    assert [a.tobytes() for a in later[0][1]] == [b.tobytes() for b in theirs]


def test_what_a_session_left_outlives_it(keeping_device):
    session = Runtime("cpu", 2).open(RELU)
    left = session.forward({"x": LEFT}, here=())["y"]
    del session
    gc.collect()
    np.testing.assert_array_equal(left, np.maximum(LEFT, 0))


KINDS = {
    "numbers": (helper.make_node("Relu", ["x"], ["y"]), helper.make_tensor_value_info("y", TensorProto.FLOAT, None)),
    "a single number": (
        helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, []),
    ),
    "a sequence": (
        helper.make_node("SequenceConstruct", ["x"], ["y"]),
        helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_with_rows_stay_and_nothing_else(keeping_device, kind: str):
    node, made = KINDS[kind]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    model = helper.make_model(helper.make_graph([node], "g", [x], [made]), opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    runtime = Runtime("cpu", 2)
    found = runtime.open(model).forward({"x": LEFT}, here=())["y"]
    assert isinstance(found, Resident) == (kind == "numbers")


def test_what_the_host_needs_is_there(keeping_device):
    session = Runtime("cpu", 2).open(RELU)
    assert type(session.forward({"x": LEFT}, here=["y"])["y"]) is np.ndarray
    assert type(session.run({"x": LEFT.T.copy().T})["y"]) is np.ndarray, "and so is all of any other run"


def test_a_run_between_devices_can_be_interrupted(keeping_device, monkeypatch: pytest.MonkeyPatch):
    session = Runtime("cpu", 2).open(RELU)
    ended = onnxruntime.RunOptions()
    ended.terminate = True
    monkeypatch.setattr(onnxruntime, "RunOptions", lambda: ended)
    with pytest.raises(Interrupted):
        session.forward({"x": LEFT}, here=())
    there: Any = Resident.whole(onnxruntime.OrtValue.ortvalue_from_numpy(LEFT), Place("cpu", 0))
    with pytest.raises(Interrupted):
        session.run({"x": there})
