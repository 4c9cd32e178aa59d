"""MEASURES: one row a measure of a heatmap. Pure numpy, like METHODS.

A measure is a generator over one heatmap and what it is of (measuring.py); its keyword-only arguments are its
parameters. What it says depends on what fills the hidden pixels, how maps become masks and what is rated, so that
these are parameters, and a measurement tells them all.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backlit_proto.errors import BadQuestion
from backlit_server.methods.binding import filled_in
from backlit_server.methods.measures import courses, drops, faithfulness, localisation, road, shape, stability
from backlit_server.methods.measures.measuring import Measuring
from backlit_server.methods.method import Parameter, keyword_parameters

HIGHER, LOWER = "higher", "lower"


@dataclass(frozen=True)
class Measure:
    """One row of MEASURES; what it takes is read from its signature and docstring. `better`: HIGHER or LOWER values."""

    measure: Callable[..., Measuring]
    better: str
    parameter_documentation: tuple[str, ...] = ()

    @property
    def documentation(self) -> str:
        return inspect.cleandoc(self.measure.__doc__ or "")

    @property
    def summary(self) -> str:
        return self.documentation.partition("\n")[0]

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        return keyword_parameters(self.measure, self.parameter_documentation)


FILL = (
    "What hidden pixels become: 0 of the model's input (zero), the picture's black, the mean of the image's channels, "
    "or the image blurred."
)
SCORE = "What is rated: the probability of the target, or its score before a softmax or sigmoid."
KEEP = "Share of the pixels that are kept, the strongest of the mask; the others are hidden."
NORMALISATION = (
    "How the heatmap becomes a mask between 0 and 1: the span of its positive part (relu), of all its values "
    "(min-max), or of their absolutes; scaled at its own resolution, then enlarged bilinearly."
)
SEED = "What is random is drawn from this: the same seed, the same value."
BOX = (
    "x_min, y_min, x_max, y_max around the target, in pixels of the picture that was sent, or of the input where an "
    "array was."
)
COURSE = ("How many steps from all pixels to none; 224, the side of their images, were RISE's.", FILL, SCORE)

MEASURES: dict[str, Measure] = {
    "average-drop": Measure(
        drops.average_drop,
        LOWER,
        (KEEP, "What is lost as a share of the rating, or as it is.", FILL, NORMALISATION, SCORE),
    ),
    "increase-in-confidence": Measure(drops.increase_in_confidence, HIGHER, (KEEP, FILL, NORMALISATION, SCORE)),
    "average-gain": Measure(drops.average_gain, HIGHER, (KEEP, FILL, NORMALISATION)),
    "insertion": Measure(courses.insertion, HIGHER, COURSE),
    "deletion": Measure(courses.deletion, LOWER, COURSE),
    "road": Measure(
        road.road,
        HIGHER,
        ("Shares of the pixels that are removed.", "Of what is made up, as a share of the image's span.", SEED, SCORE),
    ),
    "pointing-game": Measure(
        localisation.pointing_game, HIGHER, (BOX, "How far from the box still counts, in pixels of the model's input.")
    ),
    "energy-in-box": Measure(localisation.energy_in_box, HIGHER, (BOX,)),
    "completeness": Measure(faithfulness.completeness, LOWER, (FILL,)),
    "infidelity": Measure(
        faithfulness.infidelity,
        LOWER,
        ("How many squares.", "Side of a square, as a share of the image's shorter side.", FILL, SEED, SCORE),
    ),
    "max-sensitivity": Measure(
        stability.max_sensitivity,
        LOWER,
        ("Largest change of a pixel, as a share of the image's span.", "How many changed images.", SEED),
    ),
    "adcc": Measure(stability.adcc, HIGHER, (FILL, NORMALISATION, SCORE)),
    "sparseness": Measure(shape.sparseness, HIGHER),
    "randomisation": Measure(
        stability.randomisation,
        LOWER,
        (
            "How many layers of weights are shuffled, counted from the scores; one heatmap each.",
            "Whether heatmaps are compared as they are, or their absolute values.",
            SEED,
        ),
    ),
    "forward-passes": Measure(shape.forward_passes, LOWER),
    "seconds": Measure(shape.seconds, LOWER),
}


def bind_measure(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A measure's parameters with defaults filled in; BadQuestion for a name or a value that there is not."""
    if name not in MEASURES:
        raise BadQuestion(f"there is no measure {name!r}; there are {', '.join(MEASURES)}")
    return filled_in(name, MEASURES[name].parameters, given)
