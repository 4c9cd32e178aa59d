"""What a worker prints becomes lines of the server's log."""

import asyncio
import logging
import re

LONGEST_LINE = 4096
LEVELS = logging.getLevelNamesMapping()

log = logging.getLogger("backlit_server.worker")


async def relay(stream: asyncio.StreamReader) -> None:
    """Logs the stream line by line until it ends.

    A line that begins with the name of a level has that level, and so have the lines of a traceback after it.
    """
    rest, level = b"", logging.INFO
    while chunk := await stream.read(LONGEST_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[:LONGEST_LINE]
        for line in lines:
            level = _log(line, level)
    if rest:
        _log(rest, level)


def _log(line: bytes, level: int) -> int:
    text = readable(line[:LONGEST_LINE])
    word, _, said = text.partition(" ")
    if word in LEVELS:
        level, text = LEVELS[word], said
    log.log(level, "%s", text)
    return level


def readable(line: bytes) -> str:
    """The line as text that moves no cursor and forges no other line: models choose some of these bytes."""
    text = line.decode(errors="backslashreplace")
    return re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]", lambda match: repr(match.group())[1:-1], text)
