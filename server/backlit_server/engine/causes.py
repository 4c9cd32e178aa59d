"""Why a map is empty: nothing reaches the layer, nothing passes it, or what is explained has no slope left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.models import OpenModel
from backlit_server.engine.sitting import Sitting
from backlit_server.engine.spreading import part_of
from backlit_server.engine.targets import Row, seeds
from backlit_server.engine.verdicts import OK
from backlit_server.graph import Cut
from backlit_server.methods.method import Method

FLAT = 1e-6  # how close to its limits a probability is flat: its gradient is as small

DISTANCES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "Sigmoid": lambda p: np.minimum(p, 1 - p),
    "Softmax": lambda p: np.minimum(p, 1 - p),
    "LogSoftmax": lambda log_p: -log_p,
}
"""How far values are from where the operator that made them is flat."""


@dataclass(frozen=True)
class Ran:
    """The tensors `made` of the images from number `first` on, and where the model was cut."""

    model: OpenModel
    cut: Cut | None
    made: Mapping[str, np.ndarray]
    first: int = 0

    @property
    def scores(self) -> np.ndarray:
        return self.made[self.model.anatomy.scores.name]


def causes(ran: Ran, row: Method, asked: Sequence[Row], heatmaps: np.ndarray) -> list[pb.HeatmapStatus]:
    """The status of each map that its cause decides, OK for the others."""
    found = [OK] * len(asked)
    if row.needs_gradients and ran.model.made_by in DISTANCES:
        found = [pb.HEATMAP_STATUS_SATURATED if _flat(ran, one) else OK for one in asked]
    for k, lit in enumerate(np.any(heatmaps.reshape(len(asked), -1), axis=1).tolist()):
        if not lit and found[k] == OK and _dead(ran, row, asked[k]):
            found[k] = pb.HEATMAP_STATUS_DEAD_LAYER
    return found


def _flat(ran: Ran, one: Row) -> bool:
    """Whether all that a row's seed asks of is where gradients vanish."""
    values = ran.scores[one.image - ran.first].reshape(-1)[list(one.places)]
    return len(values) > 0 and bool((DISTANCES[ran.model.made_by](values) < FLAT).all())


def _dead(ran: Ran, row: Method, one: Row) -> bool:
    """Whether the features of an image are all zero, or the gradients there of what a row asks for."""
    if ran.cut is None:
        return False
    place = one.image - ran.first
    own = {name: part_of(array, slice(place, place + 1), len(ran.scores)) for name, array in ran.made.items()}
    at = Sitting(ran.model, ran.cut, own, [one], batch=1)
    if not own[ran.cut.layer].any():
        return True
    if not row.needs_gradients:
        return False
    wanted = seeds([one], ran.scores.shape[1:], ran.scores.dtype)
    return not at.backward(ran.cut, {name: own[name] for name in ran.cut.crossing}, wanted).any()
