"""The grammar of `target`: what a heatmap explains.

None                 the top class of each image; of a detector its best box, of a segmentation its largest class
281                  a class by its index
"Egyptian cat"       a class by its name, where the model has class names
"top5"               the five best classes of each image
"all"                every class, from one backbone run; nothing else in the same question
[281, "top2", ...]   one heatmap each
float array          seeds: d(what is asked)/d(scores), one row, or several rows, of the scores' shape
backlit.Class(...)   and Element, Box, Detection, Mask, Similar, and their sums: see `backlit.kinds`
backlit.Contrast(..) and Counterfactual, Probability, LogOdds of these: see `backlit.contrasts`
"""

import re
from numbers import Integral

import numpy as np

from backlit.kinds import Target, common_scale
from backlit.specs import TensorSpec, dimensions
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_tensor

TOP = re.compile(r"top-?(\d+)")
ALL = "all"
SAID = "None, a class index, a class name, 'top5', 'all', a backlit.Target, a list of these, or a float array of seeds"


def encode_targets(target: object, scores: TensorSpec) -> list[pb.Target]:
    """One message a target, none for the top class of each image."""
    if target is None:
        return []
    if isinstance(target, str | Integral | Target):
        return [encode_target(target)]
    if _is_seeds(target):
        return _seeds(np.asarray(target), scores)
    if not isinstance(target, list | tuple | range | set | np.ndarray):
        raise BadQuestion(f"target is {SAID}; got {type(target).__name__}")
    if not len(target):
        raise BadQuestion("target is empty; None asks for the top class")
    items = target.ravel().tolist() if isinstance(target, np.ndarray) else target
    return [
        message for item in items for message in (_seeds(item, scores) if _is_seeds(item) else [encode_target(item)])
    ]


def scale_of(target: object) -> str:
    """What of the scores all targets are about: "" for themselves, "probability" or "log-odds"."""
    return common_scale(target if isinstance(target, list | tuple | set) else [target])


def encode_target(target: object) -> pb.Target:
    """The message of one target; of "top5" and "all" too, which stand for several."""
    if isinstance(target, Target):
        return target.message()
    if isinstance(target, Integral) and not isinstance(target, bool):
        return pb.Target(class_index=int(target))
    if isinstance(target, str):
        if target.lower() == ALL:
            return pb.Target(all=True)
        top = TOP.fullmatch(target.lower())
        return _top(int(top.group(1))) if top else pb.Target(class_name=target)
    raise BadQuestion(f"target is {SAID}; got {target!r}")


def _top(k: int) -> pb.Target:
    if k < 1:
        raise BadQuestion("target 'top0' asks for no class; 'top1' is the best one")
    return pb.Target(top=k)


def _is_seeds(target: object) -> bool:
    """A float array, or a plain list of floats."""
    if isinstance(target, list | tuple):
        return bool(target) and all(isinstance(item, float | np.floating) for item in target)
    return isinstance(target, np.ndarray) and target.dtype.kind == "f" and target.ndim > 0


def _seeds(given: object, scores: TensorSpec) -> list[pb.Target]:
    """One target a row; the rows' own shape is for the server to judge."""
    seeds = np.asarray(given, np.float32)
    rank = len(scores.shape) - 1
    if rank > 0 and seeds.ndim not in (rank, rank + 1):
        row = dimensions(scores.shape[1:], scores.dim_names[1:])
        raise BadQuestion(f"a seed has the shape of one row of the scores, {row}; got {list(seeds.shape)}")
    rows = seeds[np.newaxis] if seeds.ndim == max(rank, 1) else seeds
    if not len(rows):
        raise BadQuestion("target has no seeds; None asks for the top class")
    return [pb.Target(seed=to_tensor(row)) for row in rows]
