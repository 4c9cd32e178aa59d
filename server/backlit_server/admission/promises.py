"""Which methods a model can answer. The card promises nothing else.

What is the same for several methods is tried once, and no more of it than refusals come from: rules on one node of
each kind, formulas on what they see of a head. Whatever stands in the way there is made in full, and refused by that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError
from backlit_server.admission.mismatch import mismatch
from backlit_server.engine.models import OpenModel
from backlit_server.graph import Cut
from backlit_server.graph.method import method_graph, outline
from backlit_server.graph.seeding.named import EXACT, NARROW
from backlit_server.graph.seeding.rehearsal import REHEARSALS, rehearsed
from backlit_server.methods import METHODS, asking
from backlit_server.methods.method import Method


def refused(model: OpenModel) -> dict[str, BacklitError]:
    """The methods that fail at the default layer, and why."""
    return dict(_refusals(model))


def untrue(checked: pb.SelfCheck) -> dict[str, BacklitError]:
    """The methods that would show gradients which are not the model's."""
    refusal = mismatch(checked)
    return {name: refusal for name, row in METHODS.items() if row.needs_gradients} if refusal else {}


def _refusals(model: OpenModel) -> Iterator[tuple[str, BacklitError]]:
    trial = Trial(model)
    for name, row in METHODS.items():
        try:
            made = model.backbones.of(name, "").cut
            if row.many_passes:
                trial.asks(made, row)
            elif row.needs_seed and made:
                trial.formula(made, name, row)
        except BacklitError as error:
            yield name, error


@dataclass(frozen=True)
class Trial:
    """Tries what methods need of a model, each thing once. `passed`: the layers whose exact gradients can be made."""

    model: OpenModel
    passed: set[str] = field(default_factory=set)

    def formula(self, cut: Cut, name: str, row: Method) -> None:
        """A formula, and what leads from the seed to the tensors that it takes."""
        parameters = {p.name: p.default for p in row.parameters}
        recipe = self.model.heads.recipe(cut.layer, name, parameters)
        if row.rules in EXACT:
            self.gradients(cut, row.rules, parameters)
        elif row.rules in REHEARSALS and not self._rehearsed(row.rules, cut, parameters):
            self.model.heads.seeded_at(cut, row.rules, parameters)
        if row.rules in NARROW:
            scores = self.model.anatomy.scores.name
            method_graph(outline(cut, scores), cut, scores, recipe)

    def asks(self, cut: Cut | None, row: Method) -> None:
        """The gradients that a method of many passes asks for."""
        places = {
            asking.Gradients: lambda: [self.model.backbones.at(self.model.anatomy.image).cut],
            asking.Blocks: lambda: self.model.backbones.blocks,
        }
        for ask in asking.GRADIENT_ASKS.intersection(row.asks):
            for at in places[ask]() if ask in places else [cut]:
                if at:
                    self.gradients(at)

    def gradients(self, cut: Cut, rules: str = "", parameters: Mapping[str, Any] | None = None) -> None:
        """The gradients at a cut, unless those at the image can be made: they pass all that lies behind it.

        Refused are they in the words of the seeding by these rules.
        """
        if self.passed.isdisjoint((cut.layer, self.model.anatomy.image)):
            if not self._rehearsed("", cut, {}):
                self.model.heads.seeded_at(cut, rules, parameters or {})
            self.passed.add(cut.layer)

    def _rehearsed(self, rules: str, cut: Cut, parameters: Mapping[str, Any]) -> bool:
        return rehearsed(rules, cut.head, cut.layer, self.model.anatomy.scores.name, parameters)
