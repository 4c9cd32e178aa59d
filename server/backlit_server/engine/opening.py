"""From stored bytes to open models, those made for one image with a free batch axis where runs show that it is safe."""

from collections.abc import Mapping
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
from backlit_server.engine.trial import same, sample
from backlit_server.graph.method import SEED
from backlit_server.graph.narrow import CLASSES
from backlit_server.graph.spelling.unlock import unlocked
from backlit_server.graph.tiling import TARGETS, WHOLE
from backlit_server.keeping import Keeping
from backlit_server.methods import DEFAULT_METHOD

GRAPHS = 8  # times a model's graph that it takes with its anatomy, its cuts and its gradients
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
        return self.budget.get(Key(MODEL, digest)) or self._opened(digest)

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
        return model

    def _opener(self, digest: str, whole: bool) -> Opener:
        """Weights of more than 1 GiB stay in the file they came in, which needs no shelf."""
        if whole and self._shelves.limit:
            return Shelved(self._runtime, self.budget, digest, self._shelves.open(digest))
        return Apart(self._runtime, self.budget, digest)


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
        together = _maps(model, pair)
        each = [_maps(model, alone(pair, model.anatomy.inputs, image)) for image in range(2)]
    except (NotExplainable, NotDifferentiable):
        return True
    except BacklitError:
        return False
    return same(together, np.concatenate(each))


def _maps(model: OpenModel, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """Grad-CAM of each image for the sum of its scores, or for its first class where the head is narrowed."""
    backbone = model.backbones.of(DEFAULT_METHOD, "")
    made = backbone.session.run(feeds)
    assert backbone.cut is not None
    head, scores = model.heads.of(backbone.cut, DEFAULT_METHOD, {}).session, made[model.anatomy.scores.name]
    given = {WHOLE + name: made[name] for name in backbone.cut.crossing} | made
    given[SEED] = np.ones_like(scores[:, :1] if CLASSES in head.inputs else scores)
    given |= {TARGETS: np.array([1]), CLASSES: np.array([0])}
    return head.run({name: given[name] for name in head.inputs})["heatmap"]
