"""ONNX Runtime as this process uses it: one thread pool, one device, runs that can be interrupted."""

import functools
import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import onnx
import onnxruntime

from backlit_proto.errors import BacklitError, BadModel, BadQuestion, InternalError, Overloaded
from backlit_server.engine import providers
from backlit_server.engine.arenas import Arena, emptying, share_cuda_arena, share_host_arena
from backlit_server.engine.lanes import Feeds, Made, one_thread_pool, side_by_side
from backlit_server.engine.providers import CPU, CUDA
from backlit_server.engine.resident import Place, Resident, can_stay, run_bound
from backlit_server.engine.shortage import shortage
from backlit_server.execution import DeviceLost, Execution
from backlit_server.story import BACKBONE, OPEN, Stopwatch

QUIET = 4  # what goes wrong is raised, and told to the caller; it need not fill the log as well
PRECISE = Execution()

T = TypeVar("T")

Configure = Callable[[onnxruntime.SessionOptions], None]
Loaded = Callable[[], onnxruntime.InferenceSession]

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """The run was ended from outside: nobody waits for it, and it says nothing about the model."""


class Opener(Protocol):
    """What makes sessions of graphs."""

    def open(self, model: onnx.ModelProto, folder: Path | None = None) -> "Session":
        """A session of a model, with the weights that stayed outside it in `folder`; BadModel when it is refused."""
        ...

    def light(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model as it is to be kept open: with its weights, or with where they are."""
        ...


class Runtime:
    """Opens sessions on one device.

    `device`: cpu, cuda, auto (CUDA where it works, CPU elsewhere) or require-cuda, and behind cuda a colon and which.
    `provider` is what sessions really got: ONNX Runtime falls back to the CPU silently. `lanes`: how many runs may go
    side by side.
    """

    def __init__(self, device: str, threads: int, execution: Execution = PRECISE) -> None:
        one_thread_pool(threads)
        share_host_arena(execution.cpu_memory_mb)
        self.execution = execution
        self.watch = Stopwatch()
        self.provider = ""
        self._wanted = providers.wanted(device, execution)
        self._running: onnxruntime.RunOptions | None = None
        self._arena = Arena()
        self._probe = self._loaded(_probe().SerializeToString(), None)
        self.provider: str = self._probe.get_providers()[0]
        if device.startswith(providers.REQUIRED) and self.provider != CUDA:
            raise InternalError(
                f"CUDA is required but sessions run on {self.provider}: check the driver and CUDA 13 with cuDNN 9 "
                "(pip install 'backlit[gpu]'), or start with --device auto"
            )
        ordinal = providers.ordinal(device)
        self.device = f"cuda:{ordinal}" if self.provider == CUDA else "cpu"
        if self.provider == CUDA:
            share_cuda_arena(int(ordinal), execution.gpu_memory_mb)
        kind = providers.KEEPING.get(self.provider)
        self.place = Place(kind, int(ordinal)) if kind else None
        self.lanes = 1 if self.place else threads

    def open(self, model: onnx.ModelProto, folder: Path | None = None) -> "Session":
        """A session with weights of its own."""
        data = model.SerializeToString()
        session = self.load(data, folder)
        return Session(self, lambda: session, hashlib.sha256(data).hexdigest())

    def light(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model itself, with its weights."""
        return model

    def load(self, data: bytes, folder: Path | None, *steps: Configure) -> onnxruntime.InferenceSession:
        """A serialised model, loaded after some steps over the options; BadModel when it is refused."""
        try:
            session = self.watch.call(OPEN, lambda: self._loaded(data, folder, *steps))
        except Exception as error:  # ONNX Runtime raises a class of its own a status code
            otherwise = BadModel(f"ONNX Runtime cannot load the model: {error}{_advice(data)}")
            raise self._refusal(error, otherwise) from error
        self._check(session)
        return session

    def run(
        self, session: onnxruntime.InferenceSession, outputs: Sequence[str], feeds: Feeds, staying: Collection[str] = ()
    ) -> Made:
        """One run, which interrupt() ends at the next node: Interrupted. Outputs in `staying` are left in `place`.

        Overloaded when it alone needs more memory than there is: the first time it may be for want of what earlier
        runs left in pieces, which has been given back by then.
        """
        place = self.place
        if place and (staying or any(isinstance(given, Resident) for given in feeds.values())):
            return self._run([feeds], lambda options: run_bound(session, outputs, feeds, options, place, staying))
        return self._run([feeds], lambda options: session.run(outputs, feeds, options))

    def side_by_side(
        self, session: onnxruntime.InferenceSession, outputs: Sequence[str], shares: Sequence[Feeds]
    ) -> list[Made]:
        """As run(), of each of these at once; no more of them than `lanes`."""
        return self._run(shares, lambda options: side_by_side(session, outputs, shares, options))

    def _run(self, shares: Sequence[Feeds], start: Callable[[onnxruntime.RunOptions], T]) -> T:
        try:
            return self._attempt(shares, start)
        except Overloaded:
            return self._attempt(shares, start)

    def _attempt(self, shares: Sequence[Feeds], start: Callable[[onnxruntime.RunOptions], T]) -> T:
        run_options = onnxruntime.RunOptions()
        run_options.log_severity_level = QUIET
        self._arena.before(shares, run_options)
        self._running = run_options
        try:
            return start(run_options)
        except Exception as error:  # as above
            if run_options.terminate:
                raise Interrupted from error
            raise self._refusal(error, BadQuestion(f"the model cannot run on this input: {error}")) from error
        finally:
            self._running = None

    def interrupt(self) -> None:
        """Ends the run in progress, from any thread; nothing happens when there is none, or when it has just ended."""
        running = self._running
        if running is not None:
            running.terminate = True

    def _loaded(self, data: bytes, folder: Path | None, *steps: Configure) -> onnxruntime.InferenceSession:
        options = providers.session_options(self.execution, self._wanted)
        options.use_per_session_threads = False
        options.log_severity_level = QUIET
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.use_env_allocators", "1")
        if folder:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        for step in steps:
            step(options)
        # Left to itself, a session whose provider fails goes on with the CPU, when it is opened and at any later run.
        return onnxruntime.InferenceSession(data, options, providers=self._wanted, enable_fallback=0)

    def _check(self, session: onnxruntime.InferenceSession) -> None:
        """InternalError for a session that does not run where all of this runtime's do."""
        provider = session.get_providers()[0]
        if provider != self.provider:
            raise InternalError(
                f"a session fell back to {provider} in a worker on {self.provider}: the device's libraries refused it; "
                "the server's log says why"
            )
        if provider != CPU and (others := providers.elsewhere(session, provider)):
            log.info("%s; not on %s: %s", session.get_modelmeta().graph_name, provider, dict(others))

    def _refusal(self, error: Exception, otherwise: BacklitError) -> BacklitError:
        """What an error of ONNX Runtime is to the caller; DeviceLost where the device is what failed.

        Where memory ran out, what lies unused in the arena is given back.
        """
        short = shortage(error, self.device, self.execution)
        self._check_device(emptying() if short else None)
        return short or otherwise

    def _check_device(self, options: onnxruntime.RunOptions | None) -> None:
        """DeviceLost when not even the smallest model runs any more: a GPU that failed once fails for good."""
        try:
            self._probe.run(None, {"x": np.zeros(1, np.float32)}, options)
        except Exception as error:
            raise DeviceLost(f"{self.device} does not compute any more: {error}") from error


class Session:
    """A graph that can be run; `provider` is where it really runs, `digest` that of the graph.

    `loaded` gives what ONNX Runtime loaded, or loads it again: what is not used for long may be let go. `stage` is what
    the time of its runs is told as.
    """

    stage = BACKBONE

    def __init__(self, runtime: Runtime, loaded: Loaded, digest: str) -> None:
        self.digest = digest
        self.lanes = runtime.lanes
        self._runtime = runtime
        self._loaded = loaded
        session = loaded()
        made = session.get_outputs()
        self.outputs = tuple(o.name for o in made)
        self._stay = runtime.place is not None and all(can_stay(o.type) for o in made)
        self.inputs = tuple(i.name for i in session.get_inputs())
        self.provider: str = session.get_providers()[0]

    def ran(self, images: int) -> None:
        """So many images went through it for one pass, told with the question."""
        self._runtime.watch.ran(images)

    def forward(self, feeds: Feeds, here: Collection[str]) -> dict[str, np.ndarray]:
        """As run(), where of the outputs the host needs those that are `here`.

        The others stay on a device that keeps them, and are arrays to whoever reads them all the same (resident.py).
        """
        return self.run(feeds, [name for name in self.outputs if name not in here] if self._stay else ())

    def side_by_side(self, shares: Sequence[Feeds]) -> list[dict[str, np.ndarray]]:
        """As run(), of each of these at once; no more of them than `lanes`."""
        session, run = self._loaded(), self._runtime.side_by_side
        runs = self._runtime.watch.call(self.stage, lambda: run(session, self.outputs, shares))
        return [dict(zip(self.outputs, made, strict=True)) for made in runs]

    def run(self, feeds: Feeds, staying: Collection[str] = ()) -> dict[str, np.ndarray]:
        """All outputs by name."""
        session, run = self._loaded(), self._runtime.run
        made = self._runtime.watch.call(self.stage, lambda: run(session, self.outputs, feeds, staying))
        return dict(zip(self.outputs, made, strict=True))


def _advice(data: bytes) -> str:
    """What may help a model that is refused."""
    model = onnx.load_model_from_string(data)
    if any(tensor.data_type == onnx.TensorProto.DOUBLE for tensor in model.graph.initializer):
        return "; few of its operators work in double precision: export it in single precision"
    return ""


def _probe() -> onnx.ModelProto:
    """The smallest model there is: it tells where sessions really run."""
    value = functools.partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=[1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "probe", [value("x")], [value("y")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
