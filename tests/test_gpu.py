"""What a GPU answers, beside what the CPU answers: `pytest -m gpu`.

BACKLIT_TEST_DEVICE names the device, cuda where it is not set. With cpu the CPU is compared with itself, so that these
tests are known to run where there is no GPU.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import skimage.data

import backlit
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import Overloaded
from backlit_proto.tensors import to_array, to_tensor
from backlit_server.engine import providers
from backlit_server.engine.engine import Engine
from backlit_server.engine.pictures import Pictures
from backlit_server.engine.providers import CPU, CUDA
from backlit_server.engine.resident import Held
from backlit_server.engine.runtime import Runtime, one_thread_pool
from backlit_server.execution import Execution
from backlit_server.graph import ImageInput
from backlit_server.keeping import Keeping
from backlit_server.methods import METHODS
from backlit_server.settings import Settings
from backlit_server.workers.pool import Pool
from bare import ask, responses, stored
from preparing import prepared
from real_models import CLASSIFIERS, feeds
from real_server import real_server
from test_every_model import FEW, repeated
from test_joining import answers, question
from test_pool import children
from waiting import until

pytestmark = pytest.mark.gpu

DEVICE = os.environ.get("BACKLIT_TEST_DEVICE", "cuda")
REQUIRED = DEVICE if DEVICE == "cpu" else f"require-{DEVICE}"
PROVIDER = CPU if DEVICE == "cpu" else CUDA
THREADS = 2
FRESH = Keeping(features_mb=0)  # every forward pass is run
COMPUTING = {"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedMatMul"}

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


@pytest.fixture(scope="module", autouse=True)
def device() -> str:
    """The device under test, or a skip that cannot be overlooked."""
    if DEVICE != "cpu" and not providers.driver():
        pytest.skip(f"NO GPU: no NVIDIA driver, or an onnxruntime without {CUDA}; nothing here was tested")
    return REQUIRED


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


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


def file_of(shared: Path, name: str) -> Path:
    return shared / "models" / f"{name}.onnx"


def inputs_of(file: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs that fit, the same for the same seed."""
    random = np.random.default_rng(seed)
    given = feeds(onnx.load(file))
    return {name: random.normal(size=x.shape).astype(x.dtype) for name, x in given.items()}


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """As a share of theirs."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    return float(np.linalg.norm(ours - theirs) / (np.linalg.norm(theirs) or 1))


def few(method: str) -> dict[str, Any]:
    return {
        p.name: FEW[p.name] for p in METHODS[method].parameters if p.name in FEW and repeated(p.default) > FEW[p.name]
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_method_finds_what_the_cpu_finds(shared: Path, cpu: Engine, gpu: Engine, method: str):
    file = file_of(shared, OF.get(method, "digits40-cnn-gap"))
    digest, x = stored(gpu.store, file), {name: x[:1] for name, x in inputs_of(file).items()}
    (told, theirs), *_ = ask(cpu, digest, x, method, **few(method))
    target = [told.target.class_index] if told.target.class_index >= 0 and method != "d-rise" else []
    (said, ours), *_ = ask(gpu, digest, x, method, target, **few(method))
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


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_takes_time_runs_on_the_device(shared: Path, device: str, name: str):
    one_thread_pool(THREADS)
    asked = providers.wanted(device, Execution())
    options = providers.session_options(Execution(), [CUDA, CPU])  # which has it told what runs where
    options.use_per_session_threads = False
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(file_of(shared, name)), options, providers=asked, enable_fallback=0)
    assert session.get_providers()[0] == PROVIDER
    assert COMPUTING.isdisjoint(providers.elsewhere(session, PROVIDER))


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
    first, *others = (ask(exact, digest, x, method, **few(method))[0] for _ in range(4))
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


@pytest.mark.parametrize("tf32", [False, True])
def test_an_answer_says_what_computed_it(shared: Path, store: Path, device: str, tf32: bool):
    engine = Engine(store, device, THREADS, Execution(tf32=tf32), FRESH)
    digest = stored(store, file_of(shared, "digits40-cnn-gap"))
    (x,) = inputs_of(file_of(shared, "digits40-cnn-gap")).values()
    ((response, _), *_) = responses(engine, digest, x, "grad-cam", [3])
    on_gpu = PROVIDER == CUDA
    assert response.provenance.execution_provider == PROVIDER
    assert response.provenance.device.partition(":")[0] == DEVICE.partition(":")[0]
    assert response.provenance.execution.tf32 == (tf32 and on_gpu)
    assert response.provenance.execution.convolution_search == ("heuristic" if on_gpu else "")


def test_tf32_leads_no_further_than_ten_bits(shared: Path, cpu: Engine, store: Path, device: str):
    rounded = Engine(store, device, THREADS, Execution(tf32=True), FRESH)
    digest = stored(store, file_of(shared, "efficientnet-lite0"))
    (x,) = inputs_of(file_of(shared, "efficientnet-lite0")).values()
    pair = (ask(engine, digest, x[:1], targets=[7])[0][1] for engine in (rounded, cpu))
    assert difference(next(pair), next(pair)) <= 5e-2


def test_a_question_beyond_the_memory_limit_is_an_overload_and_the_next_is_answered(
    shared: Path, store: Path, device: str
):
    if PROVIDER == CPU:
        pytest.skip("the CPU has no such limit")
    engine = Engine(store, device, THREADS, Execution(gpu_memory_mb=256))
    digest = stored(store, file_of(shared, "efficientnet-lite0"))
    with pytest.raises(Overloaded, match="do not fit into the memory of cuda"):
        ask(engine, digest, np.zeros((256, 3, 224, 224), np.float32), targets=[7])
    assert ask(engine, digest, np.zeros((1, 3, 224, 224), np.float32), targets=[7])


async def test_two_workers_share_a_device_and_one_that_dies_comes_back_on_it(shared: Path, tmp_path: Path, device: str):
    digest = stored(tmp_path, file_of(shared, "digits40-cnn-gap"))
    (x,) = inputs_of(file_of(shared, "digits40-cnn-gap")).values()
    pool = Pool(Settings(store=tmp_path, device=f"{device},{device}", threads=1))

    async def answered() -> str:
        question = pb.Question(model=digest, targets=[pb.Target(class_index=3)])
        request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
        (answer,) = [answer async for answer in pool.explain(request)]
        return answer.provenance.execution_provider

    await pool.start()
    assert [one.provider for one in pool.devices] == [PROVIDER] * 2
    os.kill(min(children()), 9)
    await until(lambda: not all(one.ready for one in pool.devices))
    assert await answered() == PROVIDER, "the other one answers meanwhile"
    await until(lambda: all(one.ready for one in pool.devices))
    assert [(one.provider, one.note) for one in pool.devices] == [(PROVIDER, "")] * 2
    await pool.stop(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, device: str) -> Iterator[backlit.Server]:
    with (
        real_server(tmp_path_factory.mktemp("served"), "--device", device) as address,
        backlit.connect(address) as connected,
    ):
        yield connected


def test_card_answer_and_devices_name_the_provider(shared: Path, server: backlit.Server):
    model = server.upload(file_of(shared, "digits40-cnn-gap"))
    (x,) = inputs_of(file_of(shared, "digits40-cnn-gap")).values()
    (found,) = model.explain(x[:1], target=3)
    assert model.card.execution_provider == found.provenance.execution_provider == PROVIDER
    assert [(one.execution_provider, one.ready) for one in server.devices()] == [(PROVIDER, True)]
    assert found.provenance.device == server.devices()[0].name
