"""The `compare` command: methods beside one another over the same pictures, in numbers and in a contact sheet."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from backlit import commands, reports
from backlit.assumed import caution
from backlit.audit import Audit
from backlit.comparison import Wanted
from backlit.folders import SUFFIXES, pictures_in
from backlit.grammar import declarations
from backlit.model import Model
from backlit.server import Server
from backlit.spoken import ABOUT_TARGETS, read_target
from backlit_proto.errors import BadQuestion

ALL = "all"
WITHOUT_ONE_MAP = ("score", "feature-maps", "embedding")  # methods that `all` leaves out
METHODS = "grad-cam,grad-cam++,layer-cam,hires-cam,random-cam"
MEASURES = "average-drop,increase-in-confidence,insertion,deletion,road,forward-passes,seconds"


def arguments(command: argparse.ArgumentParser) -> None:
    """What the command takes."""
    form = "NAME[:PARAMETER=VALUE...][,...]"
    methods, measures = f"or all; default: {METHODS}", f"default: {MEASURES}"
    command.add_argument("model", metavar="MODEL", help="a stored model's name or digest, or an .onnx file")
    command.add_argument(
        "pictures", type=Path, nargs="+", metavar="PICTURE", help="JPEG, PNG, WebP, or folders of them"
    )
    command.add_argument("--methods", type=wanted, default=wanted(METHODS), metavar=form, help=methods)
    command.add_argument("--measures", type=wanted, default=wanted(MEASURES), metavar=form, help=measures)
    command.add_argument("--target", type=read_target, action="append", help=ABOUT_TARGETS)
    command.add_argument("--layer", help="tensor or node name; default: the card's default layer")
    command.add_argument("--profile", default="paper", help="whose conventions hold: a name `backlit methods` lists")
    command.add_argument("--time-limit", type=float, metavar="SECONDS", help="a picture and method, half for the map")
    command.add_argument("--sheet", type=int, default=8, metavar="N", help="pictures on the contact sheet; default: 8")
    command.add_argument("--out", type=Path, default=Path("comparison"), metavar="DIR", help="default: comparison")
    declarations(command)


def wanted(text: str) -> tuple[Wanted, ...]:
    """`rise:masks=500,road:shares=[0.1,0.5]`: names with parameters, commas between; those in brackets are values'."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(_wanted(part.strip()) for part in parts)


def _wanted(label: str) -> Wanted:
    name, *given = label.split(":")
    pairs = [part.partition("=") for part in given]
    if not name or not all(key and equals for key, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{label!r} is not NAME or NAME:PARAMETER=VALUE, for example rise:masks=500")
    return Wanted(label, name, {key: commands.parameter(value) for key, _, value in pairs})


def compare(server: Server, args: Namespace) -> None:
    """Asks, prints the table, and writes it with the numbers behind it and a contact sheet."""
    from backlit import contacts, pictures  # a missing extra is told before any work is done

    better = _better(server, args.measures)
    model = commands.found(server, args)
    methods = _available(server, model, args.methods)
    readable, unreadable = _readable(expanded(args.pictures), pictures.load)
    question = {"target": args.target, "layer": args.layer, "profile": args.profile, "time_limit": args.time_limit}
    audit = Audit(model, methods, args.measures, question | {"preprocessing": commands.declared(args)}, args.sheet)
    comparison, shown = audit.run(readable, unreadable, better)
    print(reports.printed(comparison))
    files = [*reports.write(comparison, args.out), args.out / "overlays.png"]
    contacts.sheet(shown, comparison.methods, model.card.input_size).savefig(files[-1])
    print("\n".join(f"  -> {file}" for file in files))
    caution([e.provenance for row in shown.values() for e in row.values()])


def expanded(paths: Sequence[Path]) -> list[Path]:
    """The files, and those of the folders among them by name."""
    found = list(pictures_in(paths))
    if not found:
        raise BadQuestion(f"there is no picture ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths))}")
    return found


def _readable(paths: Sequence[Path], load: Callable[[Path], object]) -> tuple[list[Path], dict[str, str]]:
    """The pictures that can be read, and the reasons of those that cannot, which are told at once."""
    unreadable: dict[str, str] = {}
    for path in paths:
        try:
            load(path)
        except BadQuestion as error:
            unreadable[str(path)] = str(error)
            print(f"skipped {path}: {error}", file=sys.stderr)
    return [path for path in paths if str(path) not in unreadable], unreadable


def _available(server: Server, model: Model, asked: Sequence[Wanted]) -> list[Wanted]:
    """The methods that the model can answer; those that it cannot are told and left out."""
    rows = {row.name: row for row in server.methods(model)}
    if [one.name for one in asked] == [ALL]:
        asked = [Wanted(name, name, {}) for name in rows if name not in WITHOUT_ONE_MAP]
    if unknown := [one.name for one in asked if one.name not in rows]:
        raise BadQuestion(f"there is no method {unknown[0]!r}; there are {', '.join(rows)}")
    for one in asked:
        if not rows[one.name].available:
            print(f"left out {one.name}: {rows[one.name].why_not}", file=sys.stderr)
    left = [one for one in asked if rows[one.name].available]
    if not left:
        raise BadQuestion("the model can answer none of these methods; `backlit methods MODEL` says why")
    return left


def _better(server: Server, asked: Sequence[Wanted]) -> dict[str, str]:
    """Which values are better, by the label of the measure."""
    rows = {row.name: row.better for row in server.measures()}
    if unknown := [one.name for one in asked if one.name not in rows]:
        raise BadQuestion(f"there is no measure {unknown[0]!r}; there are {', '.join(rows)}")
    return {one.label: rows[one.name] for one in asked}
