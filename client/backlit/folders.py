"""Pictures as they are named on a command line: files, and folders of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def pictures_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files, and of the folders among them what looks like a picture, by name."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        else:
            yield path
