"""A real server, a real client, real models: what arrives is what the engine says, and what is wrong is told."""

import contextlib
import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
import plain
from bare import ask, responses, stored, values
from real_server import real_server

rng = np.random.default_rng(23)
DIGITS = "digits40-cnn-gap"


@pytest.fixture
def digits(digits40: np.ndarray) -> np.ndarray:
    return digits40[:8]


@pytest.mark.parametrize(
    "method", ["score", "feature-maps", "cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam"]
)
def test_the_server_answers_what_the_bare_engine_answers(upload, engine, shared, digits, method):
    model = upload(DIGITS)
    over_grpc = model.explain(digits, method=method, target=[3, 8])
    digest = stored(engine.store, shared / "models" / f"{DIGITS}.onnx")
    bare = ask(engine, digest, digits, method, [3, 8])
    assert len(over_grpc) == len(bare)
    for theirs, (ours, heatmap) in zip(over_grpc, bare, strict=True):
        assert np.array_equal(theirs.heatmap, heatmap)
        assert (theirs.image, theirs.target, theirs.score) == (ours.image, ours.target.class_index, ours.target.score)
    (bare_response, _), *_ = responses(engine, digest, digits, method, [3, 8])
    assert {e.provenance.graph_digest for e in over_grpc} == {bare_response.provenance.graph_digest}


@pytest.mark.parametrize(
    ("name", "output", "shape"),
    [
        ("efficientnet-lite0", "logits", (3, 224, 224)),
        ("squeezenet11-ndf", "logits", (3, 227, 227)),
        (DIGITS, "logits", (1, 40, 40)),
    ],
)
def test_scores_equal_plain_onnx_runtime_on_the_uploaded_file(upload, shared, name, output, shape):
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    model = upload(name)
    (theirs,) = values(shared / "models" / f"{name}.onnx", [output], {model.card.inputs[0].tensor.name: x})
    scored = model.explain(x, method="score")
    assert np.allclose(np.stack([s.heatmap[:, 0, 0] for s in scored]), theirs, rtol=1e-5, atol=1e-5)
    assert [s.target for s in scored] == theirs.argmax(1).tolist()


def test_a_batch_is_its_single_images(upload, digits):
    model = upload(DIGITS)
    together = model.explain(digits, target="top2")
    alone = [e for image in digits for e in model.explain(image, target="top2")]
    assert [e.target for e in together] == [e.target for e in alone]
    for one, other in zip(together, alone, strict=True):
        assert np.allclose(one.heatmap, other.heatmap, atol=1e-5 * np.abs(other.heatmap).max())


def test_a_class_is_a_seed(upload, digits):
    model = upload(DIGITS)
    seeds = np.zeros((1, 10), np.float32)
    seeds[0, 4] = 1
    assert np.array_equal(
        model.explain(digits[0], target=seeds)[0].heatmap, model.explain(digits[0], target=4)[0].heatmap
    )


def test_contrasts_are_differences_of_maps(upload, digits):
    model = upload(DIGITS)
    contrast = np.zeros((1, 10), np.float32)
    contrast[0, [4, 9]] = 1, -1
    both = model.explain(digits[0], target=[4, 9])
    difference = both[0].heatmap - both[1].heatmap
    assert np.allclose(model.explain(digits[0], target=contrast)[0].heatmap, difference, atol=1e-5)


def test_every_layer_on_the_card_can_be_asked_for(upload, digits):
    model = upload(DIGITS)
    for layer in model.card.layers:
        (answer,) = model.explain(digits[0], layer=layer.name, target=1)
        assert answer.layer == layer.name
        assert answer.heatmap.shape == tuple(layer.shape[2:])
        assert np.isfinite(answer.heatmap).all()


def test_several_layers_and_versions_of_the_image_make_one_map(upload, digits):
    model = upload(DIGITS)
    layers = [layer.name for layer in model.card.layers if layer.operator == "Relu"][-2:]
    (answer,) = model.explain(digits[0], "layer-cam", layers=layers, fuse="max", smoothing="augmentation", target=1)
    assert answer.layers == tuple(layers)
    assert answer.provenance.steps[0].startswith("mean of six versions")
    assert answer.provenance.steps[-1] == "fuse max"
    assert answer.heatmap.max() == 1


def test_leaving_a_stream_early_leaves_the_server_free(upload, digits):
    model = upload(DIGITS)
    stream = model.stream(digits, target=list(range(10)))
    next(iter(stream))
    stream.close()
    assert len(model.explain(digits[0])) == 1


def test_partial_results_come_on_the_way_and_the_last_is_the_bare_engines(upload, digits, engine, shared):
    model = upload(DIGITS)
    passes: dict[str, Any] = {"masks": 2000, "seed": 5}
    partials = list(model.stream(digits[:1], method="rise", target=[3, 4], **passes))
    progress = [partial.progress for partial in partials]
    assert progress == sorted(progress)
    assert 0 < progress[0] < 1
    last = [partial for partial in partials if partial.final]
    file = stored(engine.store, shared / "models" / f"{DIGITS}.onnx")
    bare = ask(engine, file, digits[:1], "rise", [3, 4], **passes)
    assert [partial.explanation.facts for partial in last] == [dict(about.facts) for about, _ in bare]
    for partial, (_, heatmap) in zip(last, bare, strict=True):
        assert np.array_equal(partial.heatmap, heatmap)
        assert partial.explanation.provenance.forward_passes == 2001


def test_a_time_limit_gives_what_is_known_by_then(upload, digits):
    (found,) = upload(DIGITS).explain(digits[:1], method="rise", target=3, masks=10_000_000, time_limit=0.2)
    assert found.status == "PARTIAL"
    assert 1 < found.provenance.forward_passes < 10_000_000


def test_leaving_a_method_of_many_passes_leaves_the_server_free(upload, digits):
    model = upload(DIGITS)
    stream = model.stream(digits[:1], method="rise", target=3, masks=10_000_000)
    next(iter(stream))
    stream.close()
    assert len(model.explain(digits[0])) == 1


def test_the_exported_file_computes_the_same_map_in_plain_onnx_runtime(upload, digits, tmp_path):
    model = upload(DIGITS)
    file = model.export(tmp_path / "exported.onnx", method="grad-cam++")
    seed = np.zeros((2, 10), np.float32)
    seed[:, 7] = 1
    (heatmaps,) = plain.values(Path(file), ["heatmap"], {"input": digits[:2], "seed": seed})
    ours = [e.heatmap for e in model.explain(digits[:2], method="grad-cam++", target=7)]
    assert np.allclose(heatmaps, ours, atol=1e-6)


def test_a_dead_worker_is_replaced_and_the_next_question_succeeds(shared, digits, tmp_path):
    with real_server(tmp_path) as address, backlit.connect(address) as server:
        model = server.upload(shared / "models" / f"{DIGITS}.onnx")
        first = model.explain(digits[0])
        (worker,) = [int(p.name) for p in Path("/proc").glob("[0-9]*") if is_worker(p, tmp_path)]
        os.kill(worker, signal.SIGKILL)
        again = eventually(lambda: model.explain(digits[0]), backlit.WorkerLost)
        assert np.array_equal(first[0].heatmap, again[0].heatmap)


def is_worker(process: Path, store: Path) -> bool:
    """Whether a process is the worker of the server that keeps its models in this store."""
    with contextlib.suppress(OSError):
        command = (process / "cmdline").read_bytes().split(b"\0")
        return b"backlit_server.workers.worker" in command and str(store).encode() in command
    return False


def eventually(question, error: type[Exception]):
    """The answer once the error has passed; the first questions may still meet the dead worker."""
    for _ in range(20):
        try:
            return question()
        except error:
            continue
    return question()


def test_the_same_bytes_twice_are_one_model(server, upload, shared):
    first, second = upload(DIGITS), upload(DIGITS, name="digits")
    assert (
        first.digest == second.digest == hashlib.sha256((shared / "models" / f"{DIGITS}.onnx").read_bytes()).hexdigest()
    )
    assert server.model("digits").digest == first.digest
    assert [m.digest for m in server.models()].count(first.digest) == 1


def test_the_input_size_of_a_model_that_leaves_it_open_is_that_of_the_input(upload):
    model = upload("ppocr-textcls-mobilenetv3")
    x = rng.normal(size=(1, 3, 48, 192)).astype(np.float32)
    assert model.explain(x, size="input")[0].heatmap.shape == (48, 192)
