"""What the heatmap is like in itself, and what it took."""

import numpy as np

from backlit_server.methods.measures.measuring import Measured, Measuring, Subject


def sparseness(of: Subject) -> Measuring:
    """Sparseness: the Gini index of the absolute heatmap, 0 where all places count alike, near 1 where one counts.

    Chalasani et al., Concise Explanations of Neural Networks using Adversarial Training, 2020, section 2.
    """
    yield from ()  # it asks for nothing
    sizes = np.sort(abs(of.heatmap.astype(np.float64)), None)
    places = np.arange(1, sizes.size + 1)
    total = sizes.sum()
    return Measured(float(((2 * places - sizes.size - 1) * sizes).sum() / (sizes.size * total)) if total else 0.0)


def forward_passes(of: Subject) -> Measuring:
    """Forward passes of the whole network that the heatmap took; facts tell those back, and those of the head alone."""
    yield from ()  # it asks for nothing
    return Measured(of.effort.forward, {"backward passes": of.effort.backward, "head passes": of.effort.head})


def seconds(of: Subject) -> Measuring:
    """Seconds that the worker spent on the heatmap, shared among those that were made together.

    A forward pass that several methods of one question share counts for the first of them.
    """
    yield from ()  # it asks for nothing
    return Measured(of.effort.seconds)
