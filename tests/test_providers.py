"""What ONNX Runtime is asked for, and that no session leaves its device unnoticed: a GPU is played by a stand-in."""

import logging
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import parser

from backlit_proto.errors import BadModel, BadQuestion, InternalError, Overloaded
from backlit_server.engine import providers
from backlit_server.engine.arenas import share_cuda_arena
from backlit_server.engine.providers import CPU, CUDA
from backlit_server.engine.runtime import Runtime
from backlit_server.execution import DeviceLost, Execution
from real_models import small

RELU = small("g (float[n] x) => (float[n] y) { y = Relu(x) }")
UNHEARD = parser.parse_model('<ir_version: 10, opset_import: ["": 21]> g (float[n] x) => (float[n] y) { y = Uh(x) }')
FEED = {"x": np.array([-1, 2], np.float32)}
PRECISE = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
    "do_copy_in_default_stream": "1",
}
OPTIONS = [
    # told -> what differs from PRECISE
    (Execution(), {}),
    (Execution(tf32=True), {"use_tf32": "1"}),
    (Execution(convolution_search="exhaustive"), {"cudnn_conv_algo_search": "EXHAUSTIVE"}),
    (Execution(deterministic=True, convolution_search="exhaustive"), {"cudnn_conv_algo_search": "DEFAULT"}),
    (Execution(gpu_memory_mb=3), {"gpu_mem_limit": "3145728"}),
]


@pytest.fixture
def arenas(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int, dict[str, str], int, int]]:
    """The shared arenas that were asked for: provider, device, which, options, bytes at most, how it grows."""
    found = []

    def noted(provider: str, memory: Any, options: dict[str, str], limits: Any) -> None:
        found.append((provider, memory.name, memory.device_id, options, limits.max_mem, limits.arena_extend_strategy))

    monkeypatch.setattr(onnxruntime, "create_and_register_allocator_v2", noted)
    share_cuda_arena.cache_clear()
    return found


@pytest.fixture
def a_driver(arenas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)


@pytest.mark.parametrize(("told", "expected"), OPTIONS)
def test_a_gpu_is_asked_for_by_the_table(a_driver, told: Execution, expected: dict[str, str]):
    assert providers.wanted("cuda:1", told) == [(CUDA, {"device_id": "1"} | PRECISE | expected), CPU]


ASKED = [("cpu", [CPU]), ("auto", [CUDA, CPU]), ("cuda", [CUDA, CPU]), ("require-cuda:3", [CUDA, CPU])]


@pytest.mark.parametrize(("device", "expected"), ASKED)
def test_the_cpu_is_asked_for_alone_or_after_a_gpu(a_driver, device: str, expected: list[str]):
    named = [row if isinstance(row, str) else row[0] for row in providers.wanted(device, Execution())]
    assert named == expected


def test_without_a_driver_auto_does_not_ask_for_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(providers, "driver", lambda: False)
    assert providers.wanted("auto", Execution()) == [CPU]


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_sessions_are_asked_for(deterministic: bool):
    options = providers.session_options(Execution(deterministic=deterministic), [CPU])
    assert options.use_deterministic_compute is deterministic


class Gpu(onnxruntime.InferenceSession):
    """A session that says it runs on CUDA, until something fails."""

    provider = CUDA
    fails: Exception | None = None

    def __init__(self, data: bytes, options: onnxruntime.SessionOptions, *, providers: list, enable_fallback: int):
        assert not enable_fallback, "ONNX Runtime would go on with the CPU by itself"
        assert options.get_session_config_entry("session.record_ep_graph_assignment_info") == "1"
        super().__init__(data, options, providers=[CPU], enable_fallback=enable_fallback)
        self._provider = Gpu.provider

    def get_providers(self) -> list[str]:
        return [self._provider, CPU]

    def run(self, output_names, input_feed, run_options=None):
        if Gpu.fails:
            raise Gpu.fails
        return super().run(output_names, input_feed, run_options)


@pytest.fixture
def gpu(a_driver, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Gpu)
    return Runtime("require-cuda:1", 2)


def test_a_runtime_says_which_gpu_it_has(gpu: Runtime):
    assert (gpu.device, gpu.provider) == ("cuda:1", CUDA)
    assert gpu.open(RELU).provider == CUDA


def test_all_sessions_on_a_gpu_run_in_one_arena_that_is_bounded(gpu: Runtime, arenas, monkeypatch):
    assert arenas == [(CUDA, "Cuda", 1, {}, 0, 1)], "as large as the GPU, and never more than is asked for"
    asked = []
    opened = Gpu.__init__

    def noted(self: Gpu, data: bytes, options: onnxruntime.SessionOptions, **how: Any) -> None:
        asked.append(options.get_session_config_entry("session.use_env_allocators"))
        opened(self, data, options, **how)

    monkeypatch.setattr(Gpu, "__init__", noted)
    Runtime("cuda:2", 2, Execution(gpu_memory_mb=3)).open(RELU)
    assert arenas[1:] == [(CUDA, "Cuda", 2, {}, 3 << 20, 1)]
    assert set(asked) == {"1"}


def test_a_device_that_falls_back_has_no_arena_on_a_gpu(a_driver, arenas, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", Gpu)
    monkeypatch.setattr(Gpu, "provider", CPU)
    Runtime("cuda", 2)
    assert arenas == []


def test_a_runtime_that_must_have_a_gpu_refuses_the_cpu(a_driver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", Gpu)
    monkeypatch.setattr(Gpu, "provider", CPU)
    with pytest.raises(InternalError, match="CUDA is required but sessions run on CPUExecutionProvider"):
        Runtime("require-cuda:1", 2)
    assert Runtime("cuda:1", 2).device == "cpu", "what falls back says so"


def test_a_session_that_falls_back_alone_is_refused(gpu: Runtime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Gpu, "provider", CPU)
    with pytest.raises(InternalError, match=f"fell back to {CPU} in a worker on {CUDA}"):
        gpu.open(RELU)


def test_nodes_that_run_elsewhere_are_logged(gpu: Runtime, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "backlit_server")
    gpu.open(RELU)
    assert f"not on {CUDA}: {{'Relu': 1}}" in caplog.text


def test_nodes_that_run_where_they_should_are_not_elsewhere():
    options = providers.session_options(Execution(), [CUDA, CPU])
    options.use_per_session_threads = False
    session = onnxruntime.InferenceSession(RELU.SerializeToString(), options, providers=[CPU])
    assert providers.elsewhere(session, CPU) == {}
    assert providers.elsewhere(session, CUDA) == {"Relu": 1}


def test_a_gpu_that_fails_at_the_smallest_model_is_lost(gpu: Runtime, monkeypatch: pytest.MonkeyPatch):
    session = gpu.open(RELU)
    monkeypatch.setattr(Gpu, "fails", RuntimeError("CUDA failure 700: an illegal memory access"))
    with pytest.raises(DeviceLost, match="cuda:1 does not compute any more: CUDA failure 700"):
        session.run(FEED)
    with pytest.raises(DeviceLost):
        gpu.open(UNHEARD)


def test_a_gpu_that_still_runs_the_smallest_model_is_not_to_blame(gpu: Runtime):
    with pytest.raises(BadQuestion, match="cannot run on this input"):
        gpu.open(RELU).run({"x": np.zeros((1, 1), np.float32)})
    with pytest.raises(BadModel, match="cannot load the model"):
        gpu.open(UNHEARD)


FULL = {
    "Failed to allocate memory for requested buffer of size 41943040": ": one tensor takes 40 MB; send fewer or",
    "BFCArena::AllocateRawInternal Available memory of 3145728 is smaller than requested bytes of 41943040": (
        ": one tensor takes 40 MB, and 3 MB are left of the 99 MB for runs; send fewer or smaller images at once, or "
        "start the server with a larger --cpu-memory-mb"
    ),
    "CUDA failure 2: out of memory ; GPU=0": "; send fewer or smaller images at once, or start the server with a",
    "std::bad_alloc": "; send fewer or smaller images at once, or start the server with a",
}


@pytest.mark.parametrize("words", FULL)
def test_memory_that_ends_is_an_overload(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, words: str):
    session = runtime.open(RELU)
    asked = []

    def full(*told) -> list:
        asked.append(told)
        raise RuntimeError(words)

    monkeypatch.setattr(session, "_loaded", lambda: SimpleNamespace(run=full))
    monkeypatch.setattr(runtime, "execution", Execution(cpu_memory_mb=99))
    with pytest.raises(Overloaded, match=re.escape(f"do not fit into the memory of cpu{FULL[words]}")):
        session.run(FEED)
    assert len(asked) == 2, "once more, in an arena that has been emptied"
