"""Methods of many passes, driven to their end."""

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit_server.methods.asking import Ask, Outcome, Partial, Steps, drive


def outcome(steps: Steps, answer: Callable[[Ask], Any]) -> Outcome:
    """The end of a method, whose heatmaps its last partial shows already; progress only grows."""
    *way, last = drive(steps, answer)
    assert isinstance(last, Outcome)
    partials = [step for step in way if isinstance(step, Partial)]
    assert [p.progress for p in partials] == sorted(p.progress for p in partials)
    assert partials[-1].progress <= 1
    assert np.allclose(partials[-1].heatmaps, last.heatmaps)
    return last
