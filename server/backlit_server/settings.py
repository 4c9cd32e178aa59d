"""Every setting of backlit-server once: flag > environment BACKLIT_<NAME> > TOML file (--config) > default."""

import argparse
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

MB = 1024 * 1024
GB = 1024 * MB


class BadSettings(Exception):
    """The server cannot start as it was told to; the message is one line for the person who started it."""


@dataclass(frozen=True)
class Valid:
    """Which values a setting takes, beyond those of its type: in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def told(text: str, valid: Valid | None = None) -> dict[str, Any]:
    """What a field tells about itself: its line in --help, and its valid values where its type alone does not."""
    return {"help": text, "valid": valid}


def at_least(least: int) -> Valid:
    return Valid(f"at least {least}", lambda value: value >= least)


def between(least: int, most: int) -> Valid:
    return Valid(f"between {least} and {most}", lambda value: least <= value <= most)


def one_of(*choices: str) -> Valid:
    return Valid(f"one of {', '.join(choices)}", lambda value: value in choices)


def like(pattern: str, words: str) -> Valid:
    return Valid(words, lambda value: re.fullmatch(pattern, value) is not None)


def data_home() -> Path:
    """The folder for a user's data, as the XDG base directory specification says."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "backlit"


DEVICES = like(r"auto|cpu|cuda(:\d+)?|require-cuda", "auto, cpu, cuda, cuda:N or require-cuda")


# fmt: off
@dataclass(frozen=True)
class Settings:
    """What the server was told, in the order in which --help lists it."""
    host: str = field(default="127.0.0.1", metadata=told("address to listen on"))
    port: int = field(default=50051, metadata=told("port to listen on; 0 takes a free one", between(0, 65535)))
    store: Path = field(default_factory=data_home, metadata=told("folder of the uploaded models"))
    device: str = field(default="auto", metadata=told(
        "where models run: auto, cpu, cuda, cuda:N, or require-cuda, which refuses to fall back to the CPU", DEVICES))
    threads: int = field(default=0, metadata=told(
        "threads of a worker; 0 takes the cores this process may use", at_least(0)))
    max_message_mb: int = field(default=64, metadata=told(
        "largest message, so the largest batch of images", between(1, 2047)))
    max_upload_mb: int = field(default=512, metadata=told("largest model file", at_least(1)))
    max_store_gb: int = field(default=50, metadata=told("how much the store may hold", at_least(1)))
    max_questions: int = field(default=64, metadata=told(
        "questions in flight; more are refused as overload", at_least(1)))
    admission_seconds: int = field(default=60, metadata=told(
        "how long the examination of an uploaded model may take", at_least(1)))
    upload_idle_seconds: int = field(default=60, metadata=told("how long an upload may pause", at_least(1)))
    yield_seconds: int = field(default=30, metadata=told(
        "how long a worker may go on with a question after its caller has left; then it is replaced", at_least(1)))
    grace_seconds: int = field(default=30, metadata=told(
        "how long questions in flight may go on after SIGTERM", at_least(0)))
    tls_cert: Path | None = field(default=None, metadata=told(
        "PEM file of the server's certificate chain; turns TLS on"))
    tls_key: Path | None = field(default=None, metadata=told("PEM file of the server's key"))
    tls_client_ca: Path | None = field(default=None, metadata=told(
        "PEM file of the authorities whose clients are let in (mTLS)"))
    token_file: Path | None = field(default=None, metadata=told(
        "file holding the bearer token that callers must send"))
    allow_plaintext: bool = field(default=False, metadata=told("serve beyond this machine without TLS"))
    reflection: bool = field(default=False, metadata=told("let clients ask for the contract (gRPC reflection)"))
    log_format: str = field(default="human", metadata=told("how logs look: human or json", one_of("human", "json")))
    log_level: str = field(default="info", metadata=told(
        "what is logged: debug, info, warning or error", one_of("debug", "info", "warning", "error")))
    private: bool = field(default=False, metadata=told(
        "stop when standard input ends, as the server of one client does"))
# fmt: on


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


def _switch(given: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if str(given).lower() not in words:
        raise ValueError(given)
    return words[str(given).lower()]


def _path(given: Any) -> Path:
    return Path(_text(given)).expanduser().absolute()


PARSERS: dict[Any, Callable[[Any], Any]] = {str: _text, int: _whole, bool: _switch, Path: _path, Path | None: _path}
KINDS = {str: "a text", int: "a whole number", bool: "true or false", Path: "a path", Path | None: "a path"}


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
    default = named.default if named.default_factory is MISSING else "the user's data folder"
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
