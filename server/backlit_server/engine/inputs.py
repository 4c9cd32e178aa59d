"""The model's inputs, as they must be before anything runs: names, dtypes, shapes, finite numbers."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.graph import Anatomy, ImageInput, Spec

ORDERS = {"NCHW": (0, 2, 3, 1), "NHWC": (0, 3, 1, 2)}  # of an image in the other layout, as transpose takes it


def expected_image(anatomy: Anatomy) -> ImageInput | None:
    """What the model's only image input takes, None where it has none or further inputs."""
    if len(anatomy.inputs) != 1 or not anatomy.inputs[0].layout:
        return None
    image = anatomy.inputs[0]
    size = dict(zip(image.layout, (max(n, 0) for n in image.shape), strict=True))
    return ImageInput(np.dtype(image.dtype), image.layout, size["C"], size["H"], size["W"])


def checked(given: Mapping[str, np.ndarray], expected: tuple[Spec, ...]) -> dict[str, np.ndarray]:
    """The inputs by their own names; BadQuestion says what was expected and what came."""
    if set(given) == {""} and len(expected) == 1:
        given = {expected[0].name: given[""]}
    names = {i.name for i in expected}
    if set(given) != names:
        raise BadQuestion(f"the model's inputs are {_listed(names)}; these came: {_listed(given)}")
    for one in expected:
        _check(one, given[one.name])
    batches = {one.name: given[one.name].shape[0] for one in expected if one.batched}
    if len(set(batches.values())) > 1:
        raise BadQuestion(f"the inputs disagree on how many images there are: {batches}")
    return dict(given)


def _check(expected: Spec, array: np.ndarray) -> None:
    fault = _misfit(array, expected)
    if fault:
        wanted = f"the input {expected.name!r} is {expected.dtype} {_shape(expected.shape)}"
        raise BadQuestion(f"{wanted}; this array is {fault}")
    if array.dtype.kind == "f" and not _finite(array):
        what = "NaN" if np.isnan(array).any() else "infinity"
        raise BadQuestion(f"the input {expected.name!r} holds {what}: no map of it would mean anything")


def _misfit(array: np.ndarray, expected: Spec) -> str:
    """What is wrong with the kind of an array, "" for nothing."""
    if array.dtype != expected.dtype:
        return f"{array.dtype}: convert it with astype"
    if not _fits(array.shape, expected):
        return f"{_shape(array.shape)}{_advice(array, expected)}"
    return "" if array.size else "empty: send at least one image"


def _finite(array: np.ndarray) -> bool:
    """Whether there is neither NaN nor infinity: both show in the sum of squares, one quick pass without a copy."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())


def _fits(shape: tuple[int, ...], expected: Spec) -> bool:
    if len(shape) != len(expected.shape):
        return False
    # The first axis is the batch: a model made for one image gets several one by one.
    fixed = [(have, want) for have, want in zip(shape[1:], expected.shape[1:], strict=True) if want >= 0]
    return all(have == want for have, want in fixed)


def _advice(array: np.ndarray, expected: Spec) -> str:
    if array.ndim == len(expected.shape) - 1 and _fits((1, *array.shape), expected):
        return ": add the batch axis"
    if expected.layout and array.ndim == 4 and _fits(array.transpose(ORDERS[expected.layout]).shape, expected):
        return f": the model wants {expected.layout}"
    return ""


def pieces(
    inputs: Mapping[str, np.ndarray], expected: tuple[Spec, ...], at_once: Callable[[], int]
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The batch as it can run: so many images at once; with the index of the first image of each piece."""
    count = images_in(inputs, expected)
    most = 1 if count == 1 else at_once()
    if most >= count:
        yield 0, dict(inputs)
        return
    for image in range(0, count, most):
        yield image, alone(inputs, expected, image, most)


def images_in(inputs: Mapping[str, np.ndarray], expected: tuple[Spec, ...]) -> int:
    """How many images the inputs hold."""
    return max((inputs[one.name].shape[0] for one in expected if one.batched), default=1)


def image_size(inputs: Mapping[str, np.ndarray], expected: tuple[Spec, ...]) -> tuple[int, int] | None:
    """Height and width of the image among the inputs, None where there is none."""
    for one in expected:
        if one.layout:
            size = dict(zip(one.layout, inputs[one.name].shape, strict=True))
            return size["H"], size["W"]
    return None


def alone(
    inputs: Mapping[str, np.ndarray], expected: tuple[Spec, ...], image: int, count: int = 1
) -> dict[str, np.ndarray]:
    """One image of a batch, or some from that one on; what comes beside the model's own inputs goes by images too."""
    alike = {one.name for one in expected if not one.batched}
    return {name: array if name in alike else array[image : image + count] for name, array in inputs.items()}


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("?" if n < 0 else str(n) for n in shape) + "]"


def _listed(names) -> str:
    return ", ".join(repr(name) for name in sorted(names))
