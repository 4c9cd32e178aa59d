"""From stored bytes to open models, those made for one image with a free batch axis where runs show that it is safe."""

import contextlib
import ctypes
from pathlib import Path

import numpy as np
import onnx

from backlit_proto.errors import BacklitError, BadModel, NotDifferentiable, NotExplainable
from backlit_server.engine.budget import Budget, Key, Size
from backlit_server.engine.features import FEATURES
from backlit_server.engine.files import verified
from backlit_server.engine.inputs import alone
from backlit_server.engine.kept import MODEL, Apart, Shelved
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Opener, Runtime
from backlit_server.engine.shelf import Shelves
from backlit_server.engine.trial import maps, same, sample
from backlit_server.graph.spelling.unlock import unlocked
from backlit_server.keeping import Keeping

GRAPHS = 16  # times a model's graph that it takes with its anatomy, its cuts and its gradients
FREED = "the file is made for one image; freed of that, "


class Models:
    """The models of a store that are open in this worker, within a budget that their sessions share."""

    def __init__(self, store: Path, runtime: Runtime, keeping: Keeping) -> None:
        self.budget = Budget(keeping.bytes, {FEATURES: keeping.bytes_of_features})
        self._store = store
        self._runtime = runtime
        self._shelves = Shelves(store / "optimised", keeping.bytes_on_disk)

    def get(self, digest: str) -> OpenModel:
        """The open model of this digest, its bytes verified when they are read; Overloaded where it cannot fit."""
        model = self.budget.get(Key(MODEL, digest)) or self._opened(digest)
        self._shelves.note(digest)
        return model

    def preloaded(self, preload: int | str) -> list[str]:
        """Those of these digests, or so many of the models used last, the last one first; of what is still there."""
        wanted = preload.split(",") if isinstance(preload, str) else self._shelves.recent()
        there = [digest for digest in wanted if (self._store / "models" / digest).is_dir()]
        return there if isinstance(preload, str) else there[:preload]

    def forget(self, digest: str) -> None:
        """Lets go of all that is kept of a deleted model."""
        self.budget.forget(digest)
        self._shelves.remove(digest)

    def _opened(self, digest: str) -> OpenModel:
        path, key = self._store / "models" / digest / "model.onnx", Key(MODEL, digest)
        if path.is_file():
            self.budget.check(path.stat().st_size, f"the model {digest[:12]}")
        file = verified(path, digest)
        opener = self._opener(digest, file.folder is None)
        model = open_model(file.model, opener, file.folder)
        self.budget.keep(key, model, Size(GRAPHS * model.graph.ByteSize() + self.budget.own(key)))
        self._shelves.shrink()
        give_back_freed_memory()
        return model

    def _opener(self, digest: str, whole: bool) -> Opener:
        """Weights of more than 1 GiB stay in the file they came in, which needs no shelf."""
        if whole and self._shelves.limit:
            return Shelved(self._runtime, self.budget, digest, self._shelves.open(digest))
        return Apart(self._runtime, self.budget, digest)


def give_back_freed_memory() -> None:
    """Opening a model takes several times its size for a moment, which the C library would hold on to."""
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def open_model(file: onnx.ModelProto, runtime: Opener, folder: Path | None = None) -> OpenModel:
    """The model, opened; with a free batch axis where two images then give the same scores and maps as each alone."""
    try:
        graph = unlocked(file)
        if graph is None:
            return OpenModel(file, runtime, folder)
        free = OpenModel(graph, runtime, folder, FREED)
        dynamic, why = free.batching
        if dynamic and _same_maps(free):
            return free
        why = f"{FREED}the maps of two images together are others than alone" if dynamic else why
    except BadModel as error:  # what is wrong with the file itself, OpenModel says
        why = f"{FREED}it does not run: {error}"
    return OpenModel(file, runtime, folder, f"{why}; ")


def _same_maps(model: OpenModel) -> bool:
    """Whether the head at the default layer gives two images together what it gives each; true where there is none."""
    pair = sample(model.anatomy, 2, seed=2)
    try:
        together = maps(model.backbones, model.heads, pair)
        each = [maps(model.backbones, model.heads, alone(pair, model.anatomy.inputs, image)) for image in range(2)]
    except (NotExplainable, NotDifferentiable):
        return True
    except BacklitError:
        return False
    return same(together, np.concatenate(each))
