"""Trial runs on made-up inputs: do images go in batches, and what do maps look like?"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.engine.backbones import Backbones
from backlit_server.engine.heads import Heads
from backlit_server.engine.inputs import alone
from backlit_server.graph import Anatomy, Spec
from backlit_server.graph.method import SEED
from backlit_server.graph.narrow import CLASSES
from backlit_server.graph.tiling import TARGETS, WHOLE
from backlit_server.methods import DEFAULT_METHOD

FREE_SIDE = 224  # height and width where the file leaves them open
TOLERANCE = 1e-3
ROUNDED_TOLERANCE = 5e-2  # of a quantised model: where a sum falls beside a step, the steps behind it move too

Forward = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def batches(anatomy: Anatomy, forward: Forward) -> tuple[bool, str]:
    """Whether two different images give the same scores alone and together, and what was found."""
    if not anatomy.batch.dynamic:
        return False, anatomy.batch.explanation
    pair, name = sample(anatomy, 2, seed=1), anatomy.scores.name
    try:
        each = np.concatenate([forward(alone(pair, anatomy.inputs, i))[name] for i in range(2)])
        together = forward(pair)[name]
    except (BadQuestion, ValueError) as error:  # the runtime refuses, or the scores have no axis for the batch
        return False, f"two images cannot run together, so they go one by one: {error}"
    if same(together, each):
        return True, "two different images give the same scores together and alone"
    return False, "two images together do not give what each gives alone, so they go one by one"


def joins(anatomy: Anatomy, forward: Forward) -> bool:
    """Whether every tensor of two different images together is what each gives alone, one behind the other."""
    pair = sample(anatomy, 2, seed=3)
    try:
        each = [forward(alone(pair, anatomy.inputs, i)) for i in range(2)]
        together = forward(pair)
    except BadQuestion:  # as above
        return False
    return all(_rows(tensor, [one[name] for one in each]) for name, tensor in together.items())


def _rows(together: Any, each: list[Any]) -> bool:
    arrays = all(isinstance(tensor, np.ndarray) and tensor.ndim for tensor in (together, *each))
    return arrays and each[0].shape[1:] == each[1].shape[1:] and same(together, np.concatenate(each))


def maps(backbones: Backbones, heads: Heads, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """Grad-CAM of each image for the sum of its scores, or for its first class where the head is narrowed."""
    backbone = backbones.of(DEFAULT_METHOD, "")
    made = backbone.session.run(feeds)
    assert backbone.cut is not None
    head, scores = heads.of(backbone.cut, DEFAULT_METHOD, {}).session, made[heads.scores]
    given = {WHOLE + name: made[name] for name in backbone.cut.given} | made
    given[SEED] = np.ones_like(scores[:, :1] if CLASSES in head.inputs else scores)
    given |= {TARGETS: np.array([1]), CLASSES: np.array([0])}
    return head.run({name: given[name] for name in head.inputs})["heatmap"]


def same(ours: np.ndarray, theirs: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Equal up to rounding, in units of the largest value."""
    if ours.shape != theirs.shape or not np.issubdtype(ours.dtype, np.floating):
        return np.array_equal(ours, theirs)
    scale = np.nanmax(np.abs(theirs), initial=0)
    return np.allclose(ours, theirs, rtol=tolerance, atol=tolerance * float(scale), equal_nan=True)


def sample(anatomy: Anatomy, count: int, seed: int) -> Mapping[str, np.ndarray]:
    """Random inputs: `count` images, free sizes guessed."""
    random = np.random.default_rng(seed)
    return {spec.name: _made_up(spec, count, random) for spec in anatomy.inputs}


def _made_up(spec: Spec, count: int, random: np.random.Generator) -> np.ndarray:
    side = dict.fromkeys("HW", FREE_SIDE)
    free = [side.get(axis, 1) for axis in spec.layout] or [1] * len(spec.shape)
    shape = [n if n >= 0 else guess for n, guess in zip(spec.shape, free, strict=True)]
    if spec.batched and spec.shape[0] < 0:
        shape[0] = count
    dtype = np.dtype(spec.dtype)
    if np.issubdtype(dtype, np.floating):
        return random.normal(size=shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)
