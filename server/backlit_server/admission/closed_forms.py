"""What can be said of a model's maps without computing a gradient, and how well the gradients agree with it."""

from typing import Any

import numpy as np

from backlit_server.engine.models import OpenModel
from backlit_server.engine.trial import sample
from backlit_server.graph import pruned, seeded
from backlit_server.methods import DEFAULT_METHOD

CLASSES = 5  # of the best, that are compared
SAYS = (
    "the scores are linear in the mean of the features (weights W): the gradient of class c is W[:, c] / (h w) "
    "everywhere, so grad-cam, hires-cam and xgrad-cam are cam / (h w), and layer-cam is that of max(W, 0)"
)
CUT_OFF = "; where a rounding cuts values off, the gradient is zero instead"


def closed_forms(model: OpenModel) -> list[dict[str, Any]]:
    """Each with its `error`: the largest difference from the gradients of the best classes, over the largest of those.

    Zhou et al., Learning Deep Features for Discriminative Localization, 2016; Selvaraju et al., Grad-CAM, 2017, 3.1.
    """
    weights = model.anatomy.head.linear
    if weights is None:
        return []
    backbone = model.backbones.of(DEFAULT_METHOD, "")
    assert backbone.cut is not None
    layer, scores = backbone.cut.layer, model.anatomy.scores.name
    made = backbone.session.run(sample(model.anatomy, 1, seed=0))
    session = model.session(pruned(seeded(backbone.cut.head, layer, scores, True), {f"grad/{layer}"}))
    flat = made[scores].reshape(-1)
    quantised, errors = model.anatomy.arithmetic.quantised, []
    for best in np.argsort(-flat)[:CLASSES]:
        seed = np.zeros_like(flat)
        seed[best] = 1
        given = made | {f"grad/{scores}": seed.reshape(made[scores].shape)}
        found = model.spatial(layer, session.run({name: given[name] for name in session.inputs})[f"grad/{layer}"])
        expected = weights[:, best].reshape(1, -1, 1, 1) / (found.shape[2] * found.shape[3])
        off = np.abs(found - expected) * ((found != 0) | (not quantised))
        errors.append(off.max() / np.abs(expected).max())
    return [{"says": f"{SAYS}{CUT_OFF if quantised else ''}", "error": float(max(errors))}]
