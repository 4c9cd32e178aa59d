"""onnx's C++ tools raise errors of many classes: here they become refusals of the model."""

from collections.abc import Callable
from typing import TypeVar

from backlit_proto.errors import BadModel

T = TypeVar("T")


def attempt(what_failed: str, work: Callable[[], T]) -> T:
    """The result of a tool of onnx; its complaint as a BadModel."""
    try:
        return work()
    except Exception as error:  # RuntimeError, ConvertError, InferenceError, ValidationError, TypeError, ...
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise BadModel(f"{what_failed}: {lines[0] if lines else type(error).__name__}") from error
