"""Methods at the image, asked about one class: the forward pass goes on to the map of it, in one run."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backlit_server.engine.answers import Looked, Passes
from backlit_server.engine.backbones import Backbone
from backlit_server.engine.causes import Ran
from backlit_server.engine.heads import Head
from backlit_server.engine.models import OpenModel
from backlit_server.engine.questions import Wording
from backlit_server.engine.targets import Row
from backlit_server.engine.through_head import looked
from backlit_server.engine.wanted import BEST, Wanted
from backlit_server.graph import Scores
from backlit_server.graph.both_ways import CHOSEN, THE_BEST
from backlit_server.graph.reading.tasks import CLASSIFICATION
from backlit_server.methods.method import IMAGE


@dataclass(frozen=True, eq=False)
class BothWays:
    """The pass to the scores and back of one method, of a model with so many `classes`."""

    open: Callable[[], Head]
    classes: int

    @functools.cached_property
    def head(self) -> Head:
        """Opened on first use."""
        return self.open()

    def asked(self, targets: Sequence[Wanted]) -> int | None:
        """The class that is asked for, THE_BEST for whichever it is; None where these targets are anything else."""
        if len(targets) > 1 or not isinstance(targets[0], str | int):
            return None
        if isinstance(targets[0], str):
            return THE_BEST if targets[0] == BEST else None
        return targets[0] if 0 <= targets[0] < self.classes else None


def both_ways(wording: Wording, model: OpenModel, backbone: Backbone) -> BothWays | None:
    """How a method that looks once, at one image, is asked about one class; None where it cannot be done in one run."""
    row, cut, found = wording.row, backbone.cut, model.anatomy
    formula = row.at == IMAGE and row.needs_seed and not row.many_passes
    if not formula or cut is None or not cut.rows_tile or model.drift is not None or not _by_class(found.scores):
        return None
    if not {spec.name for spec in found.inputs}.issuperset(cut.crossing):
        return None
    heads = model.heads
    opened = functools.partial(heads.both_ways, cut, wording.method, wording.parameters, wording.profile)
    return BothWays(opened, found.scores.shape[1])


def _by_class(scores: Scores) -> bool:
    shape = scores.shape
    return scores.task.kind == CLASSIFICATION and not scores.binary and len(shape) == 2 and shape[1] > 1


def came_back(both: BothWays, wording: Wording, ran: Ran, asked: list[Row]) -> Looked | None:
    """The maps that the pass brought back; None where it chose otherwise than the rows, as where scores are NaN."""
    if [row.class_index for row in asked] != ran.made[CHOSEN].tolist():
        return None
    row = wording.row
    found = {name: ran.made[name] for name in (("grads",) if row.of_gradient else row.outputs)}
    return looked(wording, ran, both.head, asked, found, Passes(forward=row.forwards, backward=1))
