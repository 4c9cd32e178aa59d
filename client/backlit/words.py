"""The contract's enum values as the words people use: FIT_CROP is "crop", HEATMAP_STATUS_OK is "OK"."""

from collections.abc import Mapping

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from backlit_proto.errors import BadQuestion

UNSPECIFIED = "UNSPECIFIED"


def word(enum: EnumTypeWrapper, value: int) -> str:
    """The value's name without the prefix of its enum, "" where unspecified; a newer server's unknown value as digits."""
    if value not in enum.values():
        return str(value)
    name = enum.Name(value).removeprefix(_prefix(enum))
    return "" if name == UNSPECIFIED else name


def value(enum: EnumTypeWrapper, given: str, what: str) -> int:
    """The value that a word of any case means; BadQuestion lists the valid words."""
    words = {word(enum, v).lower(): v for v in enum.values()}
    return choice(words, given.lower(), what)


def choice(table: Mapping[str, int], given: str, what: str) -> int:
    """The row of a table of words; BadQuestion lists them."""
    if given not in table:
        raise BadQuestion(f"{what} is {given!r}; it can be {', '.join(repr(name) for name in table if name)}")
    return table[given]


def _prefix(enum: EnumTypeWrapper) -> str:
    return enum.Name(0).removesuffix(UNSPECIFIED)
