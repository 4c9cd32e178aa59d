"""The contract's enum values as the words people use: FIT_CROP is "crop", HEATMAP_STATUS_OK is "OK"."""

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from backlit_proto.errors import BadQuestion

T = TypeVar("T")

UNSPECIFIED = "UNSPECIFIED"


def word(enum: EnumTypeWrapper, value: int) -> str:
    """The value's name without the prefix of its enum, "" where unspecified, digits where only the server knows it."""
    if value not in enum.values():
        return str(value)
    name = enum.Name(value).removeprefix(_prefix(enum))
    return "" if name == UNSPECIFIED else name


def full_name(enum: EnumTypeWrapper, given: str, what: str) -> str:
    """The value's full name for a word of any case; BadQuestion lists the valid words."""
    names = {word(enum, number).lower(): enum.Name(number) for number in enum.values()}
    return choice(names, given.lower(), what)


def choice(table: Mapping[str, T], given: str, what: str) -> T:
    """The row of a table of words; BadQuestion lists them."""
    if given not in table:
        raise BadQuestion(f"{what} is {given!r}; it can be {', '.join(repr(name) for name in table if name)}")
    return table[given]


def _prefix(enum: EnumTypeWrapper) -> str:
    return enum.Name(0).removesuffix(UNSPECIFIED)
