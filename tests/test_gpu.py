"""What a GPU answers, beside what the CPU answers: `pytest -m gpu`."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_array, to_tensor
from backlit_server.engine import providers
from backlit_server.engine.engine import Engine
from backlit_server.engine.pictures import Pictures
from backlit_server.engine.providers import CPU
from backlit_server.engine.resident import Held
from backlit_server.engine.runtime import Runtime
from backlit_server.execution import Execution
from backlit_server.graph import ImageInput
from backlit_server.methods import METHODS
from bare import ask, stored
from few_passes import few
from gpus import FRESH, PROVIDER, THREADS, file_of, inputs_of
from joined import answers, question
from preparing import prepared
from real_models import CLASSIFIERS

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("device")]

# What a method is asked of, where it is not a small convolutional network.
OF = {
    "d-rise": "ultraface-rfb320",
    "le-grad": "digits40-vit-tiny",
    "attention-rollout": "digits40-vit-tiny",
}
# |GPU - CPU| as a share of |CPU|, both as vectors. Sums of products differ in order, 1e-5 or so; where a gradient goes
# through the whole network, kinks that are passed on the other side add to it, and divisions by what may be small.
THROUGH_LAYER, THROUGH_NETWORK = 1e-3, 1e-2
WIDER = {"lrp": 5e-2, "deep-lift": 5e-2, "lime": 5e-2}


@pytest.fixture(scope="module")
def cpu(store: Path) -> Engine:
    return Engine(store, "cpu", THREADS, keeping=FRESH)


@pytest.fixture(scope="module")
def keeping_tensors(cpu: Engine) -> Iterator[None]:
    """A CPU that plays the device keeps what goes from one session into another, as a GPU does."""
    with pytest.MonkeyPatch.context() as patch:
        if PROVIDER == CPU:
            patch.setattr(providers, "KEEPING", {CPU: "cpu"})
        yield


@pytest.fixture(scope="module")
def gpu(store: Path, device: str, keeping_tensors) -> Engine:
    return Engine(store, device, THREADS, keeping=FRESH)


@pytest.fixture(scope="module")
def exact(store: Path, device: str) -> Engine:
    return Engine(store, device, THREADS, Execution(deterministic=True), FRESH)


def test_pictures_become_the_pixels_that_pillow_makes_of_them(device: str):
    pictures = Pictures(Runtime(device, THREADS), megapixels=1)
    for fit, interpolation in itertools.product(("CROP", "STRETCH", "PAD"), ("BILINEAR", "BICUBIC", "NEAREST")):
        one, other = (
            photographs(
                pictures, f"COMPUTED_BY_{way}", fit=f"FIT_{fit}", interpolation=f"INTERPOLATION_{interpolation}"
            )
            for way in ("PILLOW", "GRAPH")
        )
        assert abs(one - other).max() <= 1, (fit, interpolation)


def photographs(pictures: Pictures, computed_by: Any, **declared: Any) -> np.ndarray:
    """Two photographs of different sizes, as uint8 pixels in float32."""
    expected = ImageInput(np.dtype(np.float32), "NCHW", 3, 224, 224)
    preprocessing = pb.Preprocessing(preset="raw", computed_by=computed_by, **declared)
    return prepared(pictures, [skimage.data.chelsea(), skimage.data.rocket()], preprocessing, expected)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """As a share of theirs."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    return float(np.linalg.norm(ours - theirs) / (np.linalg.norm(theirs) or 1))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_finds_what_the_cpu_finds(shared: Path, cpu: Engine, gpu: Engine, method: str):
    file = file_of(shared, OF.get(method, "digits40-cnn-gap"))
    digest, x = stored(gpu.store, file), {name: x[:1] for name, x in inputs_of(file).items()}
    (told, theirs), *_ = ask(cpu, digest, x, method, **few(METHODS[method].parameters))
    target = [told.target.class_index] if told.target.class_index >= 0 and method != "d-rise" else []
    (said, ours), *_ = ask(gpu, digest, x, method, target, **few(METHODS[method].parameters))
    assert ours.shape == theirs.shape
    through = THROUGH_LAYER if METHODS[method].at == "layer" else THROUGH_NETWORK
    assert difference(ours, theirs) <= WIDER.get(method, through)
    assert said.target.score == pytest.approx(told.target.score, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_real_model_is_explained_as_on_the_cpu(shared: Path, cpu: Engine, gpu: Engine, name: str):
    file = file_of(shared, name)
    digest, x = stored(gpu.store, file), inputs_of(file)
    (theirs, expected), *_ = ask(cpu, digest, x)
    (ours, heatmap), *_ = ask(gpu, digest, x, targets=[theirs.target.class_index])
    quantised = "int8" in name or "qoperator" in name  # where a sum falls beside a step, the steps behind it move too
    assert difference(heatmap, expected) <= (5e-2 if quantised else THROUGH_LAYER)
    assert ours.target.score == pytest.approx(theirs.target.score, rel=5e-2 if quantised else 1e-3, abs=1e-4)


def test_batches_of_changing_sizes_get_what_each_image_gets_alone(shared: Path, cpu: Engine, gpu: Engine):
    digest = stored(gpu.store, file_of(shared, "efficientnet-lite0"))
    images = np.random.default_rng(1).normal(size=(8, 3, 224, 224)).astype(np.float32)
    alone = [ask(cpu, digest, images[[k]], targets=[7])[0][1] for k in range(8)]
    for count in (1, 8, 3, 1, 8):
        found = ask(gpu, digest, images[:count], targets=[7])
        assert max(difference(ours, theirs) for (_, ours), theirs in zip(found, alone, strict=False)) <= THROUGH_LAYER


def test_features_stay_on_the_device_until_somebody_reads_them(
    shared: Path, cpu: Engine, store: Path, device: str, keeping_tensors, monkeypatch: pytest.MonkeyPatch
):
    """In a run of its own, in one that questions share, and in what a later question finds of it."""
    engine, read = Engine(store, device, THREADS), []
    monkeypatch.setattr(Held, "numbers", property(lambda held: read.append(held) or held.value.numpy()))
    digest = stored(store, file_of(shared, "efficientnet-lite0"))
    images = np.random.default_rng(2).normal(size=(4, 1, 3, 224, 224)).astype(np.float32)
    found = [ask(engine, digest, images[0], method, [7]) for method in ("grad-cam", "layer-cam")]
    assert read == []
    shared_run = answers(engine, [(question(digest, "grad-cam", [7]), {"": x}) for x in images[1:]])
    for (_, ours), (_, theirs) in zip(found[0], ask(cpu, digest, images[0], targets=[7]), strict=True):
        assert difference(ours, theirs) <= THROUGH_LAYER
    for x, ours in zip(images[1:], shared_run, strict=True):
        assert isinstance(ours, list)
        assert difference(ours[0][1], ask(cpu, digest, x, targets=[7])[0][1]) <= THROUGH_LAYER


REPEATED = [
    ("efficientnet-lite0", "grad-cam"),
    ("squeezenet11-ndf", "saliency"),  # its gradient adds up where windows of MaxPool overlap
    ("digits40-vit-tiny", "attention-rollout"),
    ("digits40-cnn-gap", "integrated-gradients"),
    ("digits40-cnn-gap", "rise"),
]


@pytest.mark.parametrize(("name", "method"), REPEATED)
def test_deterministic_answers_are_the_same_to_the_last_bit(shared: Path, exact: Engine, name: str, method: str):
    file = file_of(shared, name)
    digest, x = stored(exact.store, file), {name: x[:1] for name, x in inputs_of(file).items()}
    first, *others = (ask(exact, digest, x, method, **few(METHODS[method].parameters))[0] for _ in range(4))
    for explanation, heatmap in others:
        assert explanation.target.score == first[0].target.score
        assert np.array_equal(heatmap, first[1])


def asked(
    engine: Engine, digest: str, x: np.ndarray, precision: pb.Precision
) -> tuple[pb.Provenance, pb.Explanation, np.ndarray]:
    question = pb.Question(model=digest, precision=precision, targets=[pb.Target(class_index=3)])
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
    ((response, (heatmap,)),) = (
        answer for answer in engine.explain(request, [to_array(request.inputs[""])]) if isinstance(answer, tuple)
    )
    return response.provenance, response.explanations[0], heatmap


@pytest.mark.parametrize("name", ["digits40-cnn-gap", "efficientnet-lite0", "vit_tiny_patch16_224"])
def test_half_precision_leads_about_as_far_as_it_says(shared: Path, cpu: Engine, gpu: Engine, name: str):
    file = file_of(shared, name)
    digest, (x,) = stored(gpu.store, file), (x[:1] for x in inputs_of(file, seed=11).values())
    _, theirs, expected = asked(cpu, digest, x, pb.PRECISION_SINGLE)
    told, ours, heatmap = asked(gpu, digest, x, pb.PRECISION_HALF)
    drift = told.execution.drift
    largest = np.abs(ask(cpu, digest, x, "score")[0][1]).max()
    assert abs(ours.target.score - theirs.target.score) <= 4 * drift.scores * largest
    assert 1 - np.corrcoef(heatmap.ravel(), expected.ravel())[0, 1] <= 10 * (1 - drift.maps) + 1e-4


def test_tf32_leads_no_further_than_ten_bits(shared: Path, cpu: Engine, store: Path, device: str):
    rounded = Engine(store, device, THREADS, Execution(tf32=True), FRESH)
    digest = stored(store, file_of(shared, "efficientnet-lite0"))
    (x,) = inputs_of(file_of(shared, "efficientnet-lite0")).values()
    pair = (ask(engine, digest, x[:1], targets=[7])[0][1] for engine in (rounded, cpu))
    assert difference(next(pair), next(pair)) <= 5e-2
