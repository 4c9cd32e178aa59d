"""The contract's enum values as the words people use: FIT_CROP is "crop", HEATMAP_STATUS_OK is "OK"."""

import functools
from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from backlit_proto.errors import BadQuestion

T = TypeVar("T")

UNSPECIFIED = "UNSPECIFIED"


def word(enum: EnumTypeWrapper, value: int) -> str:
    """The value's name without the prefix of its enum, "" where unspecified, digits where only the server knows it."""
    return _words(enum).get(value, str(value))


def full_name(enum: EnumTypeWrapper, given: str, what: str) -> str:
    """The value's full name for a word of any case; BadQuestion lists the valid words."""
    return choice(_full_names(enum), given.lower(), what)


def choice(table: Mapping[str, T], given: str, what: str) -> T:
    """The row of a table of words; BadQuestion lists them."""
    if given not in table:
        raise BadQuestion(f"{what} is {given!r}; it can be {', '.join(repr(name) for name in table if name)}")
    return table[given]


@functools.cache
def _words(enum: EnumTypeWrapper) -> Mapping[int, str]:
    """Every value's word: enums are asked for them several times a heatmap, and are slow to tell."""
    prefix = enum.Name(0).removesuffix(UNSPECIFIED)
    names = {number: name.removeprefix(prefix) for name, number in enum.items()}
    return names | {number: "" for number, name in names.items() if name == UNSPECIFIED}


@functools.cache
def _full_names(enum: EnumTypeWrapper) -> Mapping[str, str]:
    return {said.lower(): enum.Name(number) for number, said in _words(enum).items()}
