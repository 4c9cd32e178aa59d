"""Straight-through: rows that pass a gradient where the derivative is zero, to be laid over VJPS.

Steps pass it as if they were the identity (Bengio, Léonard and Courville, "Estimating or propagating gradients through
stochastic neurons", 2013), Sign where its input is not larger than 1 (Hubara et al., "Binarized neural networks", 2016,
equation 4). QuantizeLinear does so in VJPS already, within its range.
"""

from collections.abc import Mapping

import numpy as np

from backlit_server.graph.vjp import Rule

STRAIGHT_THROUGH: Mapping[str, Rule] = {
    "Ceil": lambda g, y, x: g,
    "Floor": lambda g, y, x: g,
    "Round": lambda g, y, x: g,
    "Sign": lambda g, y, x: np.where(abs(x) <= 1, g, 0),
}
