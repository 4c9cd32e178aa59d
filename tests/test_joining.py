"""Questions that share a run of the backbone are answered as each is alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.engine import Engine
from backlit_server.engine.runtime import Interrupted, Session
from backlit_server.execution import Execution
from backlit_server.keeping import Keeping
from bare import ask, stored
from joined import answers, question
from noted import Runs
from written import model, written

rng = np.random.default_rng(31)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """One that keeps no forward passes of earlier questions."""
    return Engine(tmp_path_factory.mktemp("store"), "cpu", 2, keeping=Keeping(features_mb=0))


@pytest.fixture(scope="module")
def digits(shared: Path, engine: Engine) -> str:
    return stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")


def same(ours: Any, theirs: list[tuple[pb.Explanation, np.ndarray]]) -> None:
    assert [told.target.class_index for told, _ in ours] == [told.target.class_index for told, _ in theirs]
    for (told, heatmap), (expected, other) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(told.target.score, expected.target.score, rtol=1e-4)
        np.testing.assert_allclose(heatmap, other, rtol=1e-3, atol=1e-5 * np.abs(other).max())


def test_whatever_the_methods_targets_and_profiles_one_backbone_run_serves_all(engine, digits, runs):
    images = [rng.random((count, 1, 40, 40), np.float32) for count in (1, 2, 1, 3)]
    asked = [
        question(digits, "grad-cam", [3]),
        question(digits, "layer-cam", [0, 7]),
        question(digits, "grad-cam++", [1], profile="pytorch-grad-cam"),
        question(digits, "feature-maps"),
    ]
    answers(engine, [(q, {"": x}) for q, x in zip(asked, images, strict=True)])  # sessions open, and joining is tried
    runs.clear()
    found = answers(engine, [(q, {"": x}) for q, x in zip(asked, images, strict=True)])
    assert runs.images == [7], "the images of all in one run"
    assert len(runs.heads) == 3, "and a run of a head for each method that has one"
    alone = [
        ask(engine, digits, images[0], "grad-cam", [3]),
        ask(engine, digits, images[1], "layer-cam", [0, 7]),
        ask(engine, digits, images[2], "grad-cam++", [1], profile="pytorch-grad-cam"),
        ask(engine, digits, images[3], "feature-maps"),
    ]
    for ours, theirs in zip(found, alone, strict=True):
        same(ours, theirs)


CONV = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
DENSE = rng.normal(size=(4, 5)).astype(np.float32)
FREE = """(float[N, 3, H, W] x) => (float[N, 5] y) {
    f = Conv(x, w)
    r = Relu(f)
    p = GlobalAveragePool(r)
    v = Flatten(p)
    y = MatMul(v, d)
}"""
SIZED = """(float[N, 3, H, W] x) => (float[N, 5] y) {
    f = Conv(x, w)
    r = Relu(f)
    s = Shape(x)
    size = Slice(s, two, four)
    z = Sigmoid(r)
    nc = Shape<end = 2>(r)
    sizes = Concat<axis = 0>(nc, size)
    up = Resize<mode = "linear">(z, , , sizes)
    p = GlobalAveragePool(up)
    v = Flatten(p)
    y = MatMul(v, d)
}"""
MIXED = """(float[N, 3, H, W] x) => (float[N, 5] y) {
    m = ReduceMean(x, zero)
    c = Sub(x, m)
    f = Conv(c, w)
    r = Relu(f)
    p = GlobalAveragePool(r)
    v = Flatten(p)
    y = MatMul(v, d)
}"""
SCALED = """(float[N, 3, 8, 8] x, float[3] by) => (float[N, 5] y) {
    f = Conv(x, w)
    r = Relu(f)
    b = ReduceSum<keepdims = 0>(by, zero)
    t = Mul(r, b)
    p = GlobalAveragePool(t)
    v = Flatten(p)
    y = MatMul(v, d)
}"""


def kept(engine: Engine, folder: Path, text: str) -> str:
    """The digest of a model written in ONNX's own notation."""
    weights = {"w": CONV, "d": DENSE, "zero": np.array([0]), "two": np.array([2]), "four": np.array([4])}
    used = {name for node in model(text).graph.node for name in node.input}
    read = {name: weights[name] for name in sorted(weights) if name in used}
    return stored(engine.store, written(folder / "net.onnx", text, **read))


def shared_by(engine: Engine, digest: str, inputs: Sequence[dict[str, np.ndarray]], runs: Runs, **how: Any) -> int:
    """How many images the largest run has, of questions that are answered as they are alone."""
    how = how or {"method": "hires-cam", "layer": "r"}
    asked = [(question(digest, classes=[2], **how), x) for x in inputs]
    answers(engine, asked)
    runs.clear()
    found = answers(engine, asked)
    most = max(runs.images)
    for ours, x in zip(found, inputs, strict=True):
        same(ours, ask(engine, digest, x, targets=[2], **how))
    return most


def test_images_of_one_size_share_a_run_and_those_of_others_do_not(engine, tmp_path, runs):
    digest = kept(engine, tmp_path, FREE)
    sizes = [(8, 8), (9, 8), (8, 8), (9, 8), (8, 8)]
    assert shared_by(engine, digest, [{"": rng.normal(size=(1, 3, *s)).astype("f")} for s in sizes], runs) == 3


@pytest.mark.parametrize("net", [SIZED, MIXED], ids=["tensors that count no images", "images that see each other"])
def test_nothing_is_shared_where_a_run_of_several_is_no_run_of_each(net, engine, tmp_path, runs):
    digest = kept(engine, tmp_path, net)
    assert shared_by(engine, digest, [{"": rng.normal(size=(1, 3, 8, 8)).astype("f")} for _ in range(4)], runs) == 1


def test_inputs_that_are_no_images_must_be_equal(engine, tmp_path, runs):
    digest = kept(engine, tmp_path, SCALED)
    inputs = [{"x": rng.normal(size=(1, 3, 8, 8)).astype("f"), "by": np.full(3, k, "f")} for k in (1, 2, 1)]
    assert shared_by(engine, digest, inputs, runs, method="score") == 2


def test_each_image_goes_back_from_the_class_that_was_asked_of_it(engine, tmp_path, runs):
    digest = kept(engine, tmp_path, FREE)
    inputs = [{"": rng.normal(size=(count, 3, 8, 8)).astype("f")} for count in (1, 2, 1)]
    classes = ([4], [2], [])
    asked = [(question(digest, "saliency", some), x) for some, x in zip(classes, inputs, strict=True)]
    answers(engine, asked)
    runs.clear()
    found = answers(engine, asked)
    assert runs.images == [4]
    for ours, some, x in zip(found, classes, inputs, strict=True):
        same(ours, ask(engine, digest, x, "saliency", some or ["top1"]))


def test_what_is_wrong_with_one_question_is_no_matter_for_the_others(engine, digits):
    x = {"": rng.random((1, 1, 40, 40), np.float32)}
    wrong = {"": np.full((1, 1, 40, 40), np.nan, np.float32)}
    first, second, third = answers(
        engine, [(question(digits, classes=[3]), x), (question(digits), wrong), (question(digits, classes=[99]), x)]
    )
    same(first, ask(engine, digits, x, "grad-cam", [3]))
    assert isinstance(second, BadQuestion)
    assert isinstance(third, BadQuestion)


def test_a_run_that_was_interrupted_says_nothing_about_the_model(engine, tmp_path, monkeypatch):
    digest = kept(engine, tmp_path, FREE)
    x = [{"": rng.normal(size=(1, 3, 8, 8)).astype("f")} for _ in range(2)]
    asked = [(question(digest, "hires-cam", [2], layer="r"), one) for one in x]
    run, interrupted = Session.run, iter([True])

    def first_interrupted(self: Session, feeds: dict[str, np.ndarray], *staying: Any) -> dict[str, Any]:
        if len(next(iter(feeds.values()))) == 2 and next(interrupted, False):
            raise Interrupted
        return run(self, feeds, *staying)

    monkeypatch.setattr(Session, "run", first_interrupted)
    answers(engine, asked)
    model = engine._models.get(digest)
    assert model.joins(model.backbones.at("r").session)


def test_where_answers_are_to_be_the_same_to_the_last_bit_nobody_shares_a_run(shared: Path, tmp_path: Path, runs):
    exact = Engine(tmp_path, "cpu", 2, Execution(deterministic=True), Keeping(features_mb=0))
    digest = stored(tmp_path, shared / "models" / "digits40-vit-tiny.onnx")
    images = rng.random((3, 1, 1, 40, 40), np.float32)
    alone = [ask(exact, digest, x, targets=[3]) for x in images]
    runs.clear()
    found = answers(exact, [(question(digest, classes=[3]), {"": x}) for x in images])
    assert set(runs.images) == {1}
    for ours, theirs in zip(found, alone, strict=True):
        assert not isinstance(ours, Exception)
        assert np.array_equal(ours[0][1], theirs[0][1])


def test_questions_in_different_precisions_share_no_run(engine, digits):
    image = rng.random((1, 1, 40, 40), np.float32)
    asked = [
        question(digits, classes=[3], precision=precision) for precision in (pb.PRECISION_SINGLE, pb.PRECISION_HALF)
    ]
    together = answers(engine, [(q, {"": image}) for q in asked])
    single, half = (answers(engine, [(q, {"": image})])[0] for q in asked)
    assert not isinstance(single, Exception)
    assert not isinstance(half, Exception)
    assert not any(isinstance(found, Exception) for found in together)
    scores = [told.target.score for found in together if isinstance(found, list) for told, _ in found]
    assert scores == [single[0][0].target.score, half[0][0].target.score]
    assert scores[0] != scores[1]
