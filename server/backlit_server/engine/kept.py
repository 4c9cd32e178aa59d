"""Sessions of one model within the budget: with its weights once, on a shelf, or with weights of their own."""

import functools
import hashlib
import platform
import tempfile
from functools import partial
from pathlib import Path

import onnx
import onnxruntime

from backlit_server.engine.budget import Budget, Key, Size
from backlit_server.engine.packing import mapped, unpacked
from backlit_server.engine.providers import CPU
from backlit_server.engine.runtime import Runtime, Session
from backlit_server.engine.shelf import Shelf
from backlit_server.graph.spelling.elsewhere import moved_out, place_of, point

MODEL, SESSION = "model", "session"
STRUCTURE = 24  # bytes of memory a byte of an optimised graph without weights: measured 4 to 24
COPIES = 2  # of its weights, in a session that has them to itself: as the file has them, and as kernels read them
WEIGHTS = "weights"  # the file beside an optimised graph
LIGHT = 4096  # bytes: less is not worth a mapping of its own


class Shelved:
    """Opens graphs of a model whose weights lie on its shelf; sessions that the budget let go are loaded again."""

    def __init__(self, runtime: Runtime, budget: Budget, owner: str, shelf: Shelf) -> None:
        self._runtime = runtime
        self._budget = budget
        self._owner = owner
        self._shelf = shelf

    def light(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with its heavy weights on the shelf."""
        return moved_out(model, lambda values: self._shelf.keep(values.data))

    def open(self, model: onnx.ModelProto, folder: Path | None = None) -> Session:
        """A session of a graph of this model, none of whose weights lie elsewhere."""
        assert folder is None
        data = _beside(self.light(model)).SerializeToString(deterministic=True)
        digest = hashlib.sha256(data).hexdigest()
        return Session(self._runtime, partial(self._loaded, data, digest), digest)

    def _loaded(self, data: bytes, digest: str) -> onnxruntime.InferenceSession:
        key = Key(SESSION, self._owner, digest)
        session = self._budget.get(key)
        if session is None:
            load = self._optimised if self._runtime.provider == CPU else self._afresh
            session, size = load(data, digest)
            self._budget.keep(key, session, size)
        return session

    def _optimised(self, data: bytes, digest: str) -> tuple[onnxruntime.InferenceSession, Size]:
        """The graph as it was optimised before, or is now, with weights that are mapped."""
        key = hashlib.sha256(f"{digest} {machine()} {self._runtime.execution}".encode()).hexdigest()
        made = self._shelf.graph(key)
        if made is None:
            made = self._made(data)
            self._shelf.add(key, made)
        structure = made.SerializeToString()
        shared = {f"{self._owner}/{name}": nbytes for name, nbytes in mapped(made).items()}
        return self._runtime.load(structure, self._shelf.folder, _as_it_is), Size(STRUCTURE * len(structure), shared)

    def _afresh(self, data: bytes, _digest: str) -> tuple[onnxruntime.InferenceSession, Size]:
        """The graph optimised for a device that takes the weights into memory of its own."""
        weights = sum(mapped(onnx.load_model_from_string(data)).values())
        return self._runtime.load(data, self._shelf.folder), Size(STRUCTURE * len(data) + weights)

    def _made(self, data: bytes) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory(prefix="making-", dir=self._shelf.folder) as folder:
            file = Path(folder) / "optimised.onnx"
            self._runtime.load(data, self._shelf.folder, partial(_written_to, file))
            return unpacked(file, self._shelf.keep)


class Apart:
    """Opens graphs of a model as a Runtime does, each session with weights of its own, which go with the model."""

    def __init__(self, runtime: Runtime, budget: Budget, owner: str) -> None:
        self._runtime = runtime
        self._budget = budget
        self._key = Key(MODEL, owner)
        self.light = runtime.light

    def open(self, model: onnx.ModelProto, folder: Path | None = None) -> Session:
        weights = sum(mapped(model).values())
        self._budget.grow(self._key, COPIES * (model.ByteSize() + weights))
        return self._runtime.open(model, folder)


def _beside(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights called by the names of their files alone, which are those of their bytes."""
    for tensor in model.graph.initializer:
        if place := place_of(tensor):
            point(tensor, place.name, place.stat().st_size)
    return model


def _as_it_is(options: onnxruntime.SessionOptions) -> None:
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def _written_to(file: Path, options: onnxruntime.SessionOptions) -> None:
    options.optimized_model_filepath = str(file)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", str(LIGHT))
    options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")


@functools.cache
def machine() -> str:
    """What an optimised graph is good for: the layouts of weights go by the runtime and the processor."""
    flags = Path("/proc/cpuinfo")
    lines = flags.read_text().splitlines() if flags.exists() else [platform.processor()]
    kind = sorted({line for line in lines if line.split(":")[0].strip() in ("flags", "Features", "model name")})
    return " ".join((onnxruntime.__version__, onnxruntime.get_build_info(), platform.machine(), *kind))
