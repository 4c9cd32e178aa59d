"""A pass of several images is spread over the threads, and every tensor is what it is in one run."""

import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from backlit_proto.errors import BadQuestion, Overloaded
from backlit_server.engine.engine import Engine
from backlit_server.engine.models import OpenModel
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Interrupted, Runtime, Session
from backlit_server.engine.spreading import rows, spread
from backlit_server.engine.trial import sample
from backlit_server.execution import Execution
from bare import ask, stored
from real_models import small

rng = np.random.default_rng(97)


THREADS = 2
REAL = ("efficientnet-lite0", "vit_tiny_patch16_224", "mobilevit_xxs", "squeezenet11-qdq-int8", "shufflenet_v2_x0_5")


# Fails for an image whose first number is no place in a table of two.
PICKY = """g (float[n, k] x) => (float[n, k] y) {
    zero = Constant <value = int64[1] {0}> ()
    i = Cast <to = 7> (x)
    row = Gather <axis = 1> (i, zero)
    table = Constant <value = float[2] {1, 2}> ()
    z = Gather (table, row)
    y = Mul (x, z)
}"""


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """How many images each of the runs takes that go side by side."""
    found, plain = [], Session.side_by_side

    def noted(self, shares):
        found.append([len(max(feeds.values(), key=np.ndim)) for feeds in shares])
        return plain(self, shares)

    monkeypatch.setattr(Session, "side_by_side", noted)
    return found


@pytest.mark.parametrize("name", REAL)
def test_every_tensor_is_that_of_one_run(shared: Path, runtime: Runtime, shares, name: str):
    model = open_model(onnx.load(shared / "models" / f"{name}.onnx"), runtime)
    session, feeds = model.backbones.at(model.anatomy.default_layer).session, sample(model.anatomy, 5, seed=9)
    made = rows(spread(model, session, feeds, 5, session.outputs), slice(0, 5))
    assert shares == [[2, 2]], "and the fifth takes all threads"
    for tensor, expected in session.run(feeds).items():
        assert made[tensor].dtype == expected.dtype
        np.testing.assert_allclose(made[tensor], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max(initial=0))


@pytest.mark.parametrize(("images", "expected"), [(1, []), (2, [[1, 1]]), (3, [[1, 1]]), (6, [[3, 3]])])
def test_threads_take_equal_shares(shared: Path, engine: Engine, shares, images: int, expected: list[list[int]]):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = rng.normal(size=(images, 1, 40, 40)).astype(np.float32)
    found = ask(engine, digest, x, "layer-cam")
    assert shares == expected
    for image, (told, heatmap) in enumerate(found):
        ((_, alone),) = ask(engine, digest, x[image : image + 1], "layer-cam", [told.target.class_index])
        np.testing.assert_allclose(heatmap, alone, rtol=1e-4, atol=1e-6)


def test_images_that_see_each_other_stay_in_one_run(runtime: Runtime, shares):
    mixed = small("""g (float[n, 3, 6, 6] x) => (float[n, 3] y) {
        zero = Constant <value = int64[1] {0}> ()
        m = ReduceMean (x, zero)
        c = Sub (x, m)
        p = GlobalAveragePool (c)
        y = Flatten (p)
    }""")
    model, x = OpenModel(mixed, runtime), rng.normal(size=(4, 3, 6, 6)).astype(np.float32)
    ((images, made),) = spread(model, model.plain, {"x": x}, 4, ["y"])
    assert (images, shares) == (4, [])
    np.testing.assert_allclose(made["y"], (x - x.mean(0)).mean((2, 3)), atol=1e-6)


def test_rows_are_cut_from_the_runs_that_made_them():
    tensors = np.arange(16).reshape(8, 2)  # two rows an image
    runs = [(1, {"t": tensors[:2]}), (1, {"t": tensors[2:4]}), (2, {"t": tensors[4:]})]
    for first in range(4):
        for last in range(first + 1, 5):
            assert np.array_equal(rows(runs, slice(first, last))["t"], tensors[2 * first : 2 * last])
    assert rows(runs, slice(1, 2))["t"] is runs[1][1]["t"], "nothing is copied where one run made it all"


@pytest.mark.parametrize("bad", [0, 1])
def test_a_run_that_fails_is_told_once_all_have_ended(runtime: Runtime, bad: int):
    session = runtime.open(small(PICKY))
    good, poisoned = np.ones((1, 3), np.float32), np.full((1, 3), 7, np.float32)
    shares = [{"x": poisoned if share == bad else good} for share in range(THREADS)]
    with pytest.raises(BadQuestion, match="indices element out of data bounds"):
        session.side_by_side(shares)
    assert [made["y"].tolist() for made in session.side_by_side([{"x": good}] * THREADS)] == [[[2, 2, 2]]] * THREADS


def test_all_runs_end_when_they_are_interrupted(runtime: Runtime):
    turns = small("""g (float[n, k] x, int64 turns) => (float[n, k] y) {
        yes = Constant <value = bool {1}> ()
        y = Loop (turns, yes, x) <body = b (int64 i, bool go, float[n, k] s) => (bool on, float[n, k] t) {
            on = Identity (go)
            t = Sin (s)
        }>
    }""")
    session = runtime.open(turns)
    stop = threading.Timer(0.2, runtime.interrupt)
    stop.start()
    with pytest.raises(Interrupted):
        session.side_by_side([{"x": np.ones((9, 9), np.float32), "turns": np.array(1 << 40)}] * THREADS)


def test_memory_that_runs_out_beside_another_run_is_told_with_the_figures(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
):
    session = runtime.open(small("g (float[n, k] x) => (float[n, k] y) { y = Relu (x) }"))
    words = "Available memory of 1024 is smaller than requested bytes of 5242880"

    def started(self, outputs, feeds, end, *rest):
        end([], None, words)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_async", started)
    monkeypatch.setattr(runtime, "execution", Execution(cpu_memory_mb=9))
    with pytest.raises(Overloaded, match="one tensor takes 5 MB, and 1 MB are left of the 9 MB"):
        session.side_by_side([{"x": np.ones((1, 1), np.float32)}] * THREADS)
