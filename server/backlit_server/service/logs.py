"""Log lines, for people or as JSON, on standard error. No control character reaches them raw."""

import json
import logging
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from backlit_server.service.tracing import UNTRACED, Span

QUIET = ("asyncio", "grpc")  # libraries that log at debug level what only their authors need


@dataclass
class Call:
    """What is known so far about the call that is being served."""

    request: str
    rpc: str
    span: Span = UNTRACED
    facts: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)


CALL: ContextVar[Call | None] = ContextVar("CALL", default=None)


def note(**facts: str) -> None:
    """Adds facts (model, method ...) to the line that the present call will leave in the log."""
    if (call := CALL.get()) is not None:
        call.facts.update({name: fact for name, fact in facts.items() if fact})


def configure(style: str, level: str) -> None:
    """Sends everything that is logged in this process to standard error, in the style asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATTERS[style]())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))


class Human(logging.Formatter):
    """time LEVEL message key=value ..."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = (f"{key}={printable(str(value))}" for key, value in _facts(record).items())
        head = f"{_time(record)} {record.levelname:7} {printable(record.getMessage())}"
        return " ".join([head, *pairs]) + self._trace(record)

    def _trace(self, record: logging.LogRecord) -> str:
        lines = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "".join(f"\n    | {printable(line)}" for line in lines)


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "message": record.getMessage()}
        trace = {"trace": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(entry | _facts(record) | trace, ensure_ascii=True, default=str)


FORMATTERS = {"human": Human, "json": Json}


def printable(text: str) -> str:
    """The text with everything that could move a cursor or start a line shown as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    call = CALL.get()
    request: dict[str, object] = {"request": call.request} if call else {}
    return request | getattr(record, "facts", {})


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"
