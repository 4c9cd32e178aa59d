"""What is left of the score when only what the heatmap shows is left to see.

Y is the rating of the image, O that of the image behind its heatmap.
"""

from collections.abc import Generator
from typing import Any, Literal

from backlit_server.methods.asking import Array, Ask, Scores
from backlit_server.methods.measures.masking import Normalisation, masked
from backlit_server.methods.measures.measuring import Fill, Measured, Measuring, Score, Share, Subject

Definition = Literal["relative", "absolute"]

TINY = 1e-12


def average_drop(
    of: Subject,
    *,
    keep: Share = 1.0,
    definition: Definition = "relative",
    fill: Fill = "zero",
    normalisation: Normalisation = "relu",
    score: Score = "probability",
) -> Measuring:
    """Average drop: how much of the rating is lost when only what the heatmap shows is left to see.

    max(0, Y - O) / Y; 0 where nothing is lost; `absolute`: max(0, Y - O). Chattopadhay et al., Grad-CAM++, 2018,
    section 4.1, who fill with black. L-CAM (2022) does too, with the normalisation min-max; its "50 %" and "15 %" are
    keep=0.5 and keep=0.15.
    """
    before, after = yield from _rated(of, masked(of, keep, fill, normalisation), score)
    lost = max(0.0, before - after)
    return Measured(lost / max(abs(before), TINY) if definition == "relative" else lost, _facts(before, after))


def increase_in_confidence(
    of: Subject,
    *,
    keep: Share = 1.0,
    fill: Fill = "zero",
    normalisation: Normalisation = "relu",
    score: Score = "probability",
) -> Measuring:
    """Increase in confidence: 1 where the rating rises when only what the heatmap shows is left to see, else 0.

    1 if O > Y. Chattopadhay et al., Grad-CAM++, 2018, section 4.1. The mean over images is the share that rises.
    """
    before, after = yield from _rated(of, masked(of, keep, fill, normalisation), score)
    return Measured(float(after > before), _facts(before, after))


def average_gain(
    of: Subject,
    *,
    keep: Share = 1.0,
    fill: Fill = "zero",
    normalisation: Normalisation = "relu",
) -> Measuring:
    """Average gain: how much of what the probability could still rise it does, behind the heatmap.

    max(0, O - Y) / (1 - Y), of probabilities. Zhang et al., Opti-CAM, 2023.
    """
    before, after = yield from _rated(of, masked(of, keep, fill, normalisation), "probability")
    return Measured(max(0.0, after - before) / max(1 - before, TINY), _facts(before, after))


def _rated(of: Subject, image: Array, score: Score) -> Generator[Ask, Any, tuple[float, float]]:
    """The ratings of the image itself and of another one."""
    other = yield Scores(image)
    return float(of.rated(of.scores, score)[0]), float(of.rated(other, score)[0])


def _facts(before: float, after: float) -> dict[str, float]:
    return {"whole image": before, "behind the heatmap": after}
