"""What each command of the command line does, given a server and its arguments."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backlit.explaining import explain_pictures
from backlit.model import Model
from backlit.preprocessing import Preprocessing
from backlit.progress import shown
from backlit.server import Server
from backlit_proto.errors import BadQuestion

DECLARED = ("preset", "mean", "std", "color", "fit", "crop")


def upload(server: Server, args: Namespace) -> None:
    """Stores the file and prints its card."""
    model = _uploaded(server, args.file, args.name, args)
    print(f"{model.digest}  {model.name}".rstrip())
    print(model.card)
    if model.preprocessing is None:
        print("nothing is known about how pictures are prepared for it: say it with --preset", file=sys.stderr)


def models(server: Server, args: Namespace) -> None:
    """One line a model, newest first."""
    stored = server.models()
    rows = [(m.name or "-", m.digest[:12], f"{m.size / 1e6:.1f} MB", f"{m.uploaded:%Y-%m-%d %H:%M}") for m in stored]
    print(_table(rows) if rows else "no models; `backlit upload FILE` stores one")


def card(server: Server, args: Namespace) -> None:
    """The model card, the preprocessing and the number of class names."""
    model = found(server, args)
    print(f"{'model':<12}{model.name or '-'}  {model.digest}")
    print(model.card)
    print(f"{'pictures':<12}{model.preprocessing or 'not declared how they are prepared'}")
    print(f"{'classes':<12}{len(model.class_names)} names")


def methods(server: Server, args: Namespace) -> None:
    """One line a method with its parameters; with a model, why not; then presets, measures and profiles."""
    for method in server.methods(found(server, args).digest if args.model else None):
        print(f"{method.name:<20}{f'no: {method.why_not}' if method.available is False else method.summary}")
        for p in method.parameters:
            print(f"{'':<20}--set {p.name}={p.default}  {p.documentation}".rstrip())
    print("\nseveral layers as one map (--layer A --layer B): --fuse mean, max, product or tanh-max")
    print("smoothed maps: --smoothing eigen or augmentation")
    print("\npresets (--preset):")
    print(_table([(f"  {preset.preset}", str(replace(preset, preset=""))) for preset in server.presets()]))
    print("\nmeasures (--measures of `backlit compare`):")
    for measure in server.measures():
        print(f"  {measure.name:<24}{measure.summary}")
        for p in measure.parameters:
            print(f"{'':<26}:{p.name}={p.default}  {p.documentation}")
    print("\nprofiles (--profile):")
    print(_table([(f"  {profile.name}", profile.summary) for profile in server.profiles()]))


def devices(server: Server, args: Namespace) -> None:
    """One line a device, those of a server that were named first."""
    rows = [(d.name, d.execution_provider, "ready" if d.ready else "not ready", d.note) for d in server.devices()]
    print(_table(rows))


def export(server: Server, args: Namespace) -> None:
    """Writes the rewritten model."""
    print(found(server, args).export(args.file, layer=args.layer, method=args.method, pictures=args.pictures))


def delete(server: Server, args: Namespace) -> None:
    """Removes a model."""
    server.delete(args.model)


def explain(server: Server, args: Namespace) -> None:
    """Pictures of what the model looked at, or the maps as JSON."""
    for picture in args.pictures:
        if not picture.is_file():
            raise BadQuestion(f"no picture can be read from {str(picture)!r}: no such file")
    explain_pictures(found(server, args), args, declared(args))


def parameter(text: str) -> object:
    """A method's parameter as typed: JSON where it is, a string where not."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def found(server: Server, args: Namespace) -> Model:
    """The stored model, or the file, uploaded first."""
    path = Path(args.model)
    if path.is_file() or path.suffix == ".onnx":
        return _uploaded(server, path, "", args)
    if getattr(args, "labels", None):
        raise BadQuestion(f"{args.model} is stored already; class names belong to `backlit upload FILE --labels ...`")
    return server.model(args.model)


def _uploaded(server: Server, path: Path, name: str, args: Namespace) -> Model:
    names = read_labels(args.labels) if getattr(args, "labels", None) else ()
    with shown(f"uploading {path.name}") as report:
        return server.upload(path, name=name, preprocessing=declared(args), class_names=names, progress=report)


def declared(args: Namespace) -> Preprocessing | None:
    """What the arguments say of it; commands that do not prepare pictures have none of these arguments."""
    given = {name: value for name in DECLARED if (value := getattr(args, name, None)) is not None}
    return Preprocessing.of(given) if given else None


def read_labels(path: Path) -> list[str]:
    """Class names from a JSON list, or from a text of one a line."""
    text = path.read_text(encoding="utf-8")
    names = parameter(text)
    return [str(name) for name in names] if isinstance(names, list) else text.rstrip("\n").split("\n")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
