"""Names of models: one small file a name, holding the digest it points to. A model has at most one name."""

import difflib
import os
import re
from collections.abc import Collection
from pathlib import Path

from backlit_proto.errors import BadQuestion, BadUpload
from backlit_server.store import durable

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
DIGEST = re.compile(r"[0-9a-f]{64}")


def check_name(name: str) -> None:
    """BadQuestion for what cannot be a name."""
    if not NAME.fullmatch(name) or name.strip(".") == "":
        raise BadQuestion(
            f"{name[:120]!r} cannot be a name: use 1 to 100 letters, digits, dots, dashes and underscores"
        )
    if DIGEST.fullmatch(name):
        raise BadQuestion("a name must not look like a digest")


def check_digest(digest: str) -> None:
    """BadUpload for what is not a SHA-256 in hex."""
    if not DIGEST.fullmatch(digest):
        raise BadUpload(f"{digest[:80]!r} is not a SHA-256 digest: send its 64 lower-case hex digits")


def names(folder: Path) -> dict[str, str]:
    """The name of each digest that has one."""
    found = {entry.name: read(folder, entry.name) for entry in os.scandir(folder)}
    return {digest: name for name, digest in sorted(found.items()) if digest}


def read(folder: Path, name: str) -> str:
    """The digest a name points to, "" where there is no such name."""
    if not NAME.fullmatch(name) or name.strip(".") == "":
        return ""
    try:
        return (folder / name).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def hint(folder: Path, reference: str, models: Collection[str]) -> str:
    """What might have been meant by a reference that is none, of models with and without names."""
    known = sorted(names(folder).values())
    near = difflib.get_close_matches(reference, known, n=3) or known[:10]
    if near:
        return f"there are {', '.join(near)}" if len(near) == len(known) else f"did you mean {', '.join(near)}?"
    return "the models here have no names: list them for their digests" if models else "upload it first"


def give(folder: Path, digest: str, name: str, scratch: Path) -> None:
    """Gives the model this name, and takes it from the model that had it. One rename does it all."""
    check_name(name)
    old = names(folder).get(digest)
    if old is None:
        durable.write(folder / name, digest.encode(), scratch)
    elif old != name:
        os.replace(folder / old, folder / name)
        durable.sync(folder)


def take(folder: Path, digest: str) -> None:
    """Leaves the model without a name."""
    if (name := names(folder).get(digest)) is not None:
        os.unlink(folder / name)
        durable.sync(folder)
