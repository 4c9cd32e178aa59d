"""What is kept open for the next question."""

import hashlib
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(dict[Key, Value]):
    """A dict of at most so many: the one put in first goes first. Questions can ask for any number of variants."""

    def __init__(self, most: int) -> None:
        self._most = most
        super().__init__()

    def __setitem__(self, key: Key, value: Value) -> None:
        if key not in self and len(self) == self._most:
            del self[next(iter(self))]
        super().__setitem__(key, value)


def in_words(value: Any) -> Any:
    """A parameter in few words, the same for equal ones alone; of an array, which it is."""
    if not isinstance(value, np.ndarray):
        return value
    return f"{value.dtype} {list(value.shape)}, SHA-256 {hashlib.sha256(value.tobytes()).hexdigest()}"
