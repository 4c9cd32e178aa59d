"""Workers and servers on a GPU: what they say of it, what it does not hold, and that they come back."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import backlit
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import Overloaded
from backlit_proto.tensors import to_tensor
from backlit_server.engine import providers
from backlit_server.engine.engine import Engine
from backlit_server.engine.lanes import one_thread_pool
from backlit_server.engine.providers import CPU, CUDA
from backlit_server.execution import Execution
from backlit_server.settings import Settings
from backlit_server.workers.pool import Pool
from bare import responses, stored
from gpus import DEVICE, FRESH, PROVIDER, THREADS, file_of, inputs_of
from real_models import CLASSIFIERS
from real_server import real_server
from toys import children
from waiting import until

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("device")]

COMPUTING = {"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedMatMul"}


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


async def answered(pool: Pool, digest: str, x: np.ndarray) -> str:
    """What computed an answer of the pool's workers."""
    question = pb.Question(model=digest, targets=[pb.Target(class_index=3)])
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
    first, *_ = [answer async for answer in pool.explain(request)]
    return first.provenance.execution_provider


async def test_a_question_beyond_the_memory_limit_is_an_overload_and_the_next_is_answered(
    shared: Path, tmp_path: Path, device: str
):
    """In a worker, which has one arena for all of its runs."""
    if PROVIDER == CPU:
        pytest.skip("the CPU has no such limit")
    pool = Pool(Settings(store=tmp_path, device=device, threads=1, gpu_memory_mb=256))
    digest = stored(tmp_path, file_of(shared, "efficientnet-lite0"))
    await pool.start()
    with pytest.raises(Overloaded, match="do not fit into the memory of cuda"):
        await answered(pool, digest, np.zeros((256, 3, 224, 224), np.float32))
    assert await answered(pool, digest, np.zeros((1, 3, 224, 224), np.float32)) == CUDA
    await pool.stop(1)


async def test_two_workers_share_a_device_and_one_that_dies_comes_back_on_it(shared: Path, tmp_path: Path, device: str):
    digest = stored(tmp_path, file_of(shared, "digits40-cnn-gap"))
    (x,) = inputs_of(file_of(shared, "digits40-cnn-gap")).values()
    pool = Pool(Settings(store=tmp_path, device=f"{device},{device}", threads=1))
    await pool.start()
    assert [one.provider for one in pool.devices] == [PROVIDER] * 2
    os.kill(min(children()), 9)
    await until(lambda: not all(one.ready for one in pool.devices))
    assert await answered(pool, digest, x) == PROVIDER, "the other one answers meanwhile"
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
