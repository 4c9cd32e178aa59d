"""Parameters as a caller gives them, made into what a function takes."""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from backlit_proto.errors import BadQuestion
from backlit_server.methods.method import Parameter
from backlit_server.methods.parameters import conversion


def filled_in(name: str, taken: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters, defaults where nothing is given; `name` is whose they are."""
    parameters = {p.name: p for p in taken}
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        valid = ", ".join(parameters) or "none at all"
        raise BadQuestion(f"{name} has no parameter {', '.join(map(repr, unknown))}; it takes {valid}")
    return {p.name: _value(name, p, given[p.name]) if p.name in given else p.default for p in parameters.values()}


def _value(name: str, parameter: Parameter, given: Any) -> Any:
    """A value from the wire, where all numbers are doubles, as the parameter's own type."""
    convert, wanted = conversion(parameter.type)
    try:
        value = convert(given)
    except (TypeError, ValueError):
        raise BadQuestion(f"{name}: parameter {parameter.name} must be {wanted}, not {reprlib.repr(given)}") from None
    return value
