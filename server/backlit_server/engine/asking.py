"""Methods of many passes at work on one image: sessions answer what they ask, and every pass is counted."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from backlit_server.engine.answers import Looked
from backlit_server.engine.causes import Ran, causes
from backlit_server.engine.findings import anchors_of
from backlit_server.engine.joining import RUN_BYTES, most_images
from backlit_server.engine.models import OpenModel
from backlit_server.engine.probabilities import probabilities_of, probability_of
from backlit_server.engine.questions import Wording
from backlit_server.engine.sitting import Sitting
from backlit_server.engine.targets import Row, seeds
from backlit_server.graph import Cut
from backlit_server.methods.asking import HEAD_ASKS, Outcome, Partial, drive
from backlit_server.methods.method import Method

Array = np.ndarray
ROWS = 16  # images in one run of the network: more gain nothing on a CPU
HEAD_ROWS = 64  # in one run of the head
EVERY = 0.5  # seconds between partial results


def asked_looks(
    wording: Wording,
    model: OpenModel,
    cut: Cut | None,
    made: Mapping[str, Array],
    asked: list[Row],
    until: float,
) -> Iterator[Looked | None]:
    """A method of many passes at one image, whose own tensors `made` are: partial results, then the last.

    None where a pass has been made and there is nothing to show yet. At the time `until` what is known becomes the
    last result, marked.
    """
    row = wording.row
    at = Sitting(model, cut, made, asked, _batch(model, cut, made, row))
    told = {name: at.given(name, v) if isinstance(v, Array) else v for name, v in wording.parameters.items()}
    steps = row.formula(**{name: GIVEN[name](at) for name in row.needs}, **told)
    shown = -np.inf
    for said in drive(steps, at.answer):
        now = time.monotonic()
        if isinstance(said, Partial) and now >= until:
            steps.close()
            yield _looked(at, row, said, progress=1, short=True)
            return
        if isinstance(said, Outcome):
            yield _looked(at, row, said, progress=1)
        elif said is None or now - shown < EVERY or said.progress >= 1:  # who has come to the end says so at once
            yield None
        else:
            shown = now
            yield _looked(at, row, said, progress=said.progress)


def _looked(at: Sitting, row: Method, said: Partial | Outcome, progress: float, short: bool = False) -> Looked:
    rows = at.asked
    facts = {name: np.broadcast_to(values, len(rows)) for name, values in said.facts.items()}
    guarded = facts.pop("guarded", np.zeros(len(rows)))
    layer = at.cut.layer if at.cut else at.image
    digest = hashlib.sha256("".join(at.digests).encode()).hexdigest()
    why = causes(Ran(at.model, at.cut, at.made, rows[0].image), row, rows, said.heatmaps) if progress == 1 else ()
    return Looked(rows, said.heatmaps, guarded, layer, digest, at.passes, progress, facts, short, causes=why)


def _batch(model: OpenModel, cut: Cut | None, made: Mapping[str, Array], row: Method) -> int:
    """How many images, or features where only the head is asked, go into one run."""
    together = model.batching[0]
    if cut and row.asks and HEAD_ASKS.issuperset(row.asks):
        return min(HEAD_ROWS, max(1, RUN_BYTES // made[cut.layer].nbytes)) if cut.rows_tile and together else 1
    return images_at_once(model, made)


def images_at_once(model: OpenModel, made: Mapping[str, Array]) -> int:
    """How many images go into one run of the network."""
    return min(ROWS, most_images(model, made)) if model.batching[0] else 1


def _image(at: Sitting) -> Array:
    return at.maps(at.image)


def _features(at: Sitting) -> Array:
    return at.maps(at.layer)


def _scores(at: Sitting) -> Array:
    return at.made[at.scores]


def _seeds(at: Sitting) -> Array:
    scores = _scores(at)
    return seeds(at.asked, scores.shape[1:], scores.dtype)


GIVEN: dict[str, Callable[[Sitting], Any]] = {
    "image": _image,
    "features": _features,
    "scores": _scores,
    "classes": _scores,
    "seeds": _seeds,
    "probability": lambda at: probability_of(at.model.anatomy.scores),
    "probabilities": lambda at: probabilities_of(at.model.anatomy.scores),
    "batch": lambda at: at.batch,
    "anchors": lambda at: anchors_of(at.asked),
}
"""What a method may take, by name."""
