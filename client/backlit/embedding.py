"""The `embed` command: a set of pictures as vectors, brought down to two numbers each, drawn and written."""

import argparse
import csv
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backlit import commands
from backlit.answers import Explanation
from backlit.assumed import caution
from backlit.folders import pictures_in
from backlit.grammar import declarations
from backlit.model import Model
from backlit.preprocessing import Preprocessing
from backlit.progress import shown
from backlit.server import Server
from backlit_proto.errors import BacklitError, BadQuestion

if TYPE_CHECKING:
    from backlit.projection import Projection

WAYS = ("pca", "tsne", "umap")


Write = Callable[[Path, "Embedded", "Projection"], None]


@dataclass(frozen=True, eq=False)
class Embedded:
    """The pictures that could be embedded and their vectors (n, length), the others and why; `told` is one answer."""

    pictures: tuple[Path, ...]
    vectors: np.ndarray
    left_out: Mapping[Path, BacklitError]
    told: Explanation

    @property
    def title(self) -> str:
        """What was embedded, and where."""
        left_out = f", {len(self.left_out)} left out" if self.left_out else ""
        layer = self.told.layer or self.told.scores
        return f"{len(self.pictures)} pictures{left_out}; {self.vectors.shape[1]} numbers each, at {layer}"


def arguments(command: argparse.ArgumentParser) -> None:
    """What the command takes."""
    command.add_argument("model", metavar="MODEL", help="a stored model's name or digest, or an .onnx file")
    command.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE", help="files, or folders of them")
    command.add_argument("--layer", help="tensor or node name; default: what the last layer reads")
    command.add_argument("--project", choices=WAYS, default="pca", help="default: pca")
    command.add_argument("--seed", type=int, default=0, help="of tsne and umap; the same seed, the same places")
    outs = "a picture, .csv of the places, or .npz of places and vectors; repeatable; default: embedding.png"
    command.add_argument("--out", type=Path, action="append", metavar="FILE", help=outs)
    declarations(command)


def embed(server: Server, args: Namespace) -> None:
    """Writes them; pictures that cannot be read are told, left out and counted."""
    from backlit.projection import projector

    project, outs = projector(args.project), args.out or [Path("embedding.png")]
    writers = [WRITERS.get(out.suffix, _drawer)() for out in outs]
    found = embedded(
        commands.found(server, args),
        list(pictures_in(dict.fromkeys(args.pictures))),
        args.layer,
        commands.declared(args),
    )
    for picture, error in found.left_out.items():
        print(f"left out {picture}: {error}", file=sys.stderr)
    caution([found.told.provenance])
    projection = project(found.vectors, args.seed)
    for out, write in zip(outs, writers, strict=True):
        out.parent.mkdir(parents=True, exist_ok=True)
        write(out, found, projection)
    print("\n".join([found.title, *(f"  -> {out}" for out in outs)]))


def embedded(
    model: Model, pictures: Sequence[Path], layer: str | None, preprocessing: Preprocessing | None
) -> Embedded:
    """All of them through one stream; where none of them can be embedded, the first error is raised."""
    method = "score" if model.card.scores.task == "embedding" and layer is None else "embedding"
    answers: dict[Path, Explanation] = {}
    left_out: dict[Path, BacklitError] = {}
    with shown("embedding") as report:
        results = model.explain_many(((str(p), p) for p in pictures), method, layer=layer, preprocessing=preprocessing)
        for done, (picture, (_, result)) in enumerate(zip(pictures, results, strict=True), 1):
            if isinstance(result, BacklitError):
                left_out[picture] = result
            else:
                (answers[picture],) = result
            report(done, len(pictures))
    if not answers:
        raise next(iter(left_out.values()), BadQuestion("there are no pictures in these folders"))
    vectors = np.stack([answer.heatmap.ravel() for answer in answers.values()])
    return Embedded(tuple(answers), vectors, left_out, next(iter(answers.values())))


def _drawer() -> Write:
    """Draws thumbnails; a missing extra is told before any work is done."""
    from backlit.thumbnails import scattered

    def draw(out: Path, found: Embedded, projection: "Projection") -> None:
        folders = [picture.parent.name for picture in found.pictures]
        groups = folders if len(set(folders)) > 1 else ()
        scattered(found.pictures, projection.places, axes=projection.axes, groups=groups, title=found.title).savefig(
            out
        )

    return draw


def _csv(out: Path, found: Embedded, projection: "Projection") -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("picture", "x", "y"))
        rows.writerows((str(p), *place) for p, place in zip(found.pictures, projection.places.tolist(), strict=True))


def _npz(out: Path, found: Embedded, projection: "Projection") -> None:
    names = np.array([str(picture) for picture in found.pictures])
    np.savez(out, pictures=names, places=projection.places, vectors=found.vectors)


WRITERS: dict[str, Callable[[], Write]] = {".csv": lambda: _csv, ".npz": lambda: _npz}
"""By the ending of the file; any other is a picture."""
