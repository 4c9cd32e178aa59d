"""How settings are told: flag > environment BACKLIT_<NAME> > TOML file (--config) > default."""

import argparse
import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from backlit_server.settings import BadSettings, Settings, Valid


@dataclass(frozen=True)
class Command:
    """What the command line comes to."""

    settings: Settings
    origins: dict[str, str]
    show_config: bool


def read_command(arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
    """The settings by precedence; BadSettings for an unknown name or a value that does not fit."""
    flags = vars(_parser().parse_args(arguments))
    show_config = flags.pop("show_config", False)
    config = flags.pop("config", None) or environment.get("BACKLIT_CONFIG")
    # An empty variable is one that was not set: compose files and shells leave such behind.
    variables = {f.name: value for f in fields(Settings) if (value := environment.get(_variable(f.name)))}
    sources = (
        Source("flag", flags, _flag),
        Source("environment", variables, _variable),
        Source("file", _file(Path(config)) if config else {}, lambda name: f"{name} in {config}"),
    )
    found = {f.name: _first(f, sources) for f in fields(Settings)}
    return Command(
        Settings(**{name: value for name, (value, _) in found.items()}),
        {name: origin for name, (_, origin) in found.items()},
        show_config,
    )


def shown(command: Command) -> str:
    """Every setting with its value and where it came from, one a line."""
    rows = [(f.name, str(getattr(command.settings, f.name)), command.origins[f.name]) for f in fields(Settings)]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}" for name, value, origin in rows)


@dataclass(frozen=True)
class Source:
    """Values as one place gave them, and how a setting is spelled there."""

    origin: str
    values: Mapping[str, Any]
    spelled: Callable[[str], str]


def _first(named: Field, sources: Sequence[Source]) -> tuple[Any, str]:
    for source in sources:
        if named.name in source.values:
            return _value(named, source.values[named.name], source.spelled(named.name)), source.origin
    return _default(named), "default"


def _default(named: Field) -> Any:
    if named.default_factory is MISSING:
        return named.default
    try:
        return named.default_factory()
    except RuntimeError:  # what Path.home() raises for a user without one
        raise BadSettings(f"this user has no home folder: say where with {_flag(named.name)}") from None


def _value(named: Field, given: Any, spelling: str) -> Any:
    kind = get_type_hints(Settings)[named.name]
    try:
        value = PARSERS[kind](given)
    except ValueError:
        raise BadSettings(f"{spelling}: {given!r} is not {KINDS[kind]}") from None
    valid: Valid | None = named.metadata["valid"]
    if valid and not valid.holds(value):
        raise BadSettings(f"{spelling}: {given!r} is not {valid.words}")
    return value


def _whole(given: Any) -> int:
    if isinstance(given, bool | float):
        raise ValueError(given)
    return int(given)


def _text(given: Any) -> str:
    if isinstance(given, str) and given:
        return given
    raise ValueError(given)


def _count_or_text(given: Any) -> int | str:
    """A number of few digits is a count; with eight or more it is how a digest begins."""
    return int(given) if re.fullmatch(r"\d{1,7}", str(given)) else _text(given)


def _switch(given: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if str(given).lower() not in words:
        raise ValueError(given)
    return words[str(given).lower()]


def _path(given: Any) -> Path:
    return Path(_text(given)).expanduser().absolute()


PARSERS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    int: _whole,
    int | str: _count_or_text,
    bool: _switch,
    Path: _path,
    Path | None: _path,
}
KINDS = {
    str: "a text",
    int: "a whole number",
    int | str: "a whole number or a text",
    bool: "true or false",
    Path: "a path",
    Path | None: "a path",
}


def _variable(name: str) -> str:
    return f"BACKLIT_{name.upper()}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise BadSettings(f"{message}; --help lists every flag")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="backlit-server",
        description="Shows what any ONNX image model looked at, over gRPC.",
        epilog="Each flag is also an environment variable (--log-format is BACKLIT_LOG_FORMAT) and a key of the "
        "TOML file (log_format). A flag wins over the environment, the environment over the file.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings (BACKLIT_CONFIG)")
    parser.add_argument("--show-config", action="store_true", help="print every setting and its origin, and exit")
    for named in fields(Settings):
        # The values stay text here: the type and the limits are checked once, for every source.
        if get_type_hints(Settings)[named.name] is bool:
            parser.add_argument(_flag(named.name), help=_help(named), action=argparse.BooleanOptionalAction)
        else:
            parser.add_argument(_flag(named.name), help=_help(named), metavar="VALUE")
    return parser


def _help(named: Field) -> str:
    default = named.metadata["default"] or named.default
    return f"{named.metadata['help']} (default: {default})" if default not in (None, False) else named.metadata["help"]


def _file(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"cannot read the settings file {path}: {error.strerror}") from None
    except ValueError as error:  # what tomllib and the decoder raise
        raise BadSettings(f"{path} is not a TOML file: {error}") from None
    names = [f.name for f in fields(Settings)]
    for name in found:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise BadSettings(f"{path}: there is no setting {name!r}; {meant}")
    return found
