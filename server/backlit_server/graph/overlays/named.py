"""RULES: the tables of rules that methods ask for by name."""

from collections.abc import Mapping

from backlit_server.graph.overlays.guided import DECONVNET, GUIDED
from backlit_server.graph.vjp import VJPS, Rule

RULES: Mapping[str, Mapping[str, Rule]] = {
    "": VJPS,
    "guided": {**VJPS, **GUIDED},
    "deconvnet": {**VJPS, **DECONVNET},
}
