"""Targets of embeddings: how similar they are to a reference."""

from collections.abc import Callable

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.engine.targets import NO_CLASS, Row
from backlit_server.engine.views import View
from backlit_server.engine.wanted import Similar

Measured = tuple[float, np.ndarray]


def similarity(wanted: Similar, view: View) -> Row:
    """The similarity of the scores to a reference; its seed is the similarity's gradient."""
    reference = wanted.reference
    if reference.size != view.scores.size:
        raise BadQuestion(f"the reference has the shape of the scores, {view.scores.shape}; got {reference.shape}")
    if reference.dtype.kind not in "fiu" or not np.isfinite(reference).all():
        raise BadQuestion("the reference holds NaN, infinity, or something else than numbers")
    vector, other = (a.reshape(-1).astype(np.float64) for a in (view.scores, reference))
    score, seed = MEASURES[wanted.measure](vector, other)
    said = f"the {wanted.measure} of the output and the reference"
    return Row(view.image, range(len(seed)), seed, NO_CLASS, score, float("nan"), view.about.name, said)


def _dot(vector: np.ndarray, other: np.ndarray) -> Measured:
    return float(vector @ other), other


def _cosine(vector: np.ndarray, other: np.ndarray) -> Measured:
    """d cos(v, r) / dv = (r / |r| - cos v / |v|) / |v|."""
    long, far = np.linalg.norm(vector), np.linalg.norm(other)
    if not (long and far):
        raise BadQuestion("the cosine of a vector of length 0 is not defined: the reference or the output is all zeros")
    cosine = vector @ other / (long * far)
    return float(cosine), (other / far - cosine * vector / long) / long


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], Measured]] = {"cosine": _cosine, "dot": _dot}
