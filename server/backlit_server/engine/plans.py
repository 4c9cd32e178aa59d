"""What a question in these words needs of a model, whatever its images are: found out once for all who ask so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backlit_server.engine.answers import Maker
from backlit_server.engine.both_ways import BothWays, both_ways
from backlit_server.engine.choices import chosen_layer
from backlit_server.engine.combining import Combination
from backlit_server.engine.models import OpenModel
from backlit_server.engine.questions import Wording
from backlit_server.engine.runtime import Session
from backlit_server.engine.wanted import Wanted
from backlit_server.execution import Computed
from backlit_server.graph import NARROW, WEIGHTS, common
from backlit_server.methods.method import LAYER


@dataclass(frozen=True, eq=False)
class Plan:
    """One method of a question: `parts` are the layers that are looked at, and in which versions of an image.

    `sharing` are methods of the question whose maps come of one run of one head: this one, and later ones. `maker` is
    what all answers have in common. `both_ways` is how one class is asked about in one run, where that can be.
    """

    wording: Wording
    parts: Combination
    sharing: tuple[Wording, ...]
    maker: Maker
    both_ways: BothWays | None

    def forward(self, targets: Sequence[Wanted]) -> tuple[Session, int | None]:
        """The forward pass for these targets, and the class that it goes on with, if it does."""
        asked = self.both_ways.asked(targets) if self.both_ways else None
        if self.both_ways is None or asked is None:
            return self.parts.backbones[0].session, None
        return self.both_ways.head.session, asked


def plans(model: OpenModel, wording: Wording, computed: Computed, versions: Mapping[str, str]) -> Sequence[Plan]:
    """One a method of the question, in their order; `model` has what is explained as its scores."""
    known = model.plans.get(wording)
    if known is not None:
        return known
    asked = (wording, *wording.others)
    makers = [Maker(one, computed, versions, model.anatomy.arithmetic) for one in asked]
    made = [_plan(model, asked[k:], maker) for k, maker in enumerate(makers)]
    if not any(isinstance(value, np.ndarray) for value in wording.parameters.values()):  # arrays come with a question
        model.plans[wording] = made
    return made


def _plan(model: OpenModel, asked: Sequence[Wording], maker: Maker) -> Plan:
    """That of the first of these methods."""
    looked_at = parts(model, asked[0])
    direct = both_ways(asked[0], model, looked_at.backbones[0]) if looked_at.trivial else None
    return Plan(asked[0], looked_at, _sharing(model, asked), maker, direct)


def parts(model: OpenModel, wording: Wording) -> Combination:
    """The layers that are looked at, several of them in one session, and the versions of an image."""
    if wording.layers:
        backbones = model.backbones.together(wording.method, wording.layers)
    else:
        backbones = (model.backbones.of(wording.method, chosen_layer(wording, model.anatomy)),)
    return Combination(backbones, wording.versions, wording.fusion)


def _sharing(model: OpenModel, asked: Sequence[Wording]) -> tuple[Wording, ...]:
    """The first, and those after it that one head can answer together with it."""
    if not _behind_one_head(model, asked[0]):
        return (asked[0],)
    able = [one for one in asked if _behind_one_head(model, one)]
    rules = common(one.row.rules for one in able)
    return tuple(one for one in able if one.row.rules in (rules, WEIGHTS))


def _behind_one_head(model: OpenModel, wording: Wording) -> bool:
    """Whether the map is a formula at one layer. What is measured is computed alone: passes and seconds are its own."""
    row = wording.row
    formula = row.at == LAYER and row.needs_seed and not row.many_passes and row.rules in NARROW
    refused = row.rules == WEIGHTS and (wording.layer or model.anatomy.head.linear is None)
    return formula and not (refused or wording.layers or wording.measures or len(wording.versions) > 1)
