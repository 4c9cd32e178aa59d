"""What there is to say about a map: never a silent black one. NOTES has the way out of each status."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_server.methods.profiles import NORMALIZE, RELU, Rendering

OK = pb.HEATMAP_STATUS_OK
DIMMING = 0.01  # the share of a map's span from which on a profile's epsilon is seen

NOTES: Mapping[pb.HeatmapStatus, str] = {
    OK: "",
    pb.HEATMAP_STATUS_ALL_NONPOSITIVE: (
        "no place at this layer speaks for the target; ask for a class the model finds more likely, or look at the "
        "negative values"
    ),
    pb.HEATMAP_STATUS_CONSTANT: "all values are equal, so the map says nothing; ask at an earlier layer",
    pb.HEATMAP_STATUS_GUARDED: (
        "features below zero break this method's assumption: where its denominator vanished, the place was left out; "
        "compare with layer-cam or hires-cam"
    ),
    pb.HEATMAP_STATUS_NOT_FINITE: "the map holds infinity or NaN: the model overflows on this input",
    pb.HEATMAP_STATUS_PARTIAL: (
        "the time limit came first: this is what was known by then; allow more time, or ask for fewer passes"
    ),
    pb.HEATMAP_STATUS_SATURATED: (
        "what is explained is a probability so close to 0 or 1 that its gradient vanishes, and the map shows what is "
        "left of it; explain the score before the softmax or sigmoid (scale SCORE, or the profile paper), or the "
        "log-odds"
    ),
    pb.HEATMAP_STATUS_DEAD_LAYER: (
        "nothing passes this layer: its features are all zero on this input, or the target depends on none of them (as "
        "behind a transformer's last attention, where only the class token counts); ask at an earlier layer, or look "
        "at them with feature-maps"
    ),
    pb.HEATMAP_STATUS_DIMMED: (
        "the small constant that this profile divides by is not small beside this map, which comes out darker than "
        "another; compare with the profile paper, which has none"
    ),
}


def judge(
    heatmaps: np.ndarray, guarded: np.ndarray, causes: Sequence[pb.HeatmapStatus], rendering: Rendering
) -> list[pb.HeatmapStatus]:
    """The status of each raw map (rows, ...) of a target.

    `guarded` counts where a guard stepped in; `causes` are the statuses that were known before.
    """
    single = heatmaps[0].size == 1
    rows = zip(*_extremes(heatmaps), guarded.tolist(), causes, strict=True)
    return [
        _broken(low, high, cause) or _of_target(low, high, stepped_in, rendering, single)
        for low, high, stepped_in, cause in rows
    ]


def judge_untargeted(heatmaps: np.ndarray, causes: Sequence[pb.HeatmapStatus]) -> list[pb.HeatmapStatus]:
    """The status of each raw map (rows, ...) that knows no target, so that nothing in it speaks against one."""
    single = heatmaps[0].size == 1
    rows = zip(*_extremes(heatmaps), causes, strict=True)
    return [
        _broken(low, high, cause) or (pb.HEATMAP_STATUS_CONSTANT if low == high and not single else OK)
        for low, high, cause in rows
    ]


def _extremes(heatmaps: np.ndarray) -> tuple[list[float], list[float]]:
    """Smallest and largest value of each map, as plain numbers: for five maps they are quicker than arrays."""
    flat = heatmaps.reshape(len(heatmaps), -1)
    return flat.min(1).tolist(), flat.max(1).tolist()


def _broken(low: float, high: float, cause: pb.HeatmapStatus) -> pb.HeatmapStatus | None:
    if not (math.isfinite(low) and math.isfinite(high)):
        return pb.HEATMAP_STATUS_NOT_FINITE
    return None if cause == OK else cause


def _of_target(low: float, high: float, guarded: float, rendering: Rendering, single: bool) -> pb.HeatmapStatus:
    if guarded:
        return pb.HEATMAP_STATUS_GUARDED
    if low == high != 0 and not single:
        return pb.HEATMAP_STATUS_CONSTANT
    if high <= 0:
        return pb.HEATMAP_STATUS_ALL_NONPOSITIVE
    return pb.HEATMAP_STATUS_DIMMED if _dimmed(low, high, rendering) else OK


def _dimmed(low: float, high: float, rendering: Rendering) -> bool:
    """Whether what the profile adds to a map's span is seen beside it."""
    if not rendering.epsilon or rendering.value_range or NORMALIZE not in rendering.steps:
        return False
    span = high - (max(low, 0) if RELU in rendering.steps else low)
    return rendering.epsilon > DIMMING * span
