"""The `features` command: the values of a layer for one picture, one map a channel, in one picture or as numbers."""

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backlit import commands
from backlit.answers import Explanation
from backlit.assumed import caution
from backlit.grammar import counts, declarations, value_range
from backlit.server import Server
from backlit_proto.errors import BadQuestion

NUMBERS = ".npy"


def arguments(command: argparse.ArgumentParser) -> None:
    """What the command takes."""
    command.add_argument("model", metavar="MODEL", help="a stored model's name or digest, or an .onnx file")
    command.add_argument("picture", type=Path, metavar="PICTURE", help="JPEG, PNG or WebP")
    command.add_argument("--layer", help="tensor or node name; default: the card's default layer")
    command.add_argument("--channels", type=counts, metavar="K[,K...]", help="which, in this order; default: all")
    command.add_argument("--nrow", type=int, metavar="N", help="maps in a row; default: about as many as rows")
    command.add_argument("--padding", type=int, default=2, metavar="PIXELS", help="between maps; default: 2")
    scale = command.add_mutually_exclusive_group()
    scale.add_argument("--scale-each", action="store_true", help="each map from its smallest to its largest value")
    scale.add_argument("--value-range", type=value_range, metavar="LOW,HIGH", help="default: those of all maps")
    command.add_argument("--out", type=Path, metavar="FILE", help=f"a picture, or {NUMBERS} for the values as they are")
    declarations(command)


def features(server: Server, args: Namespace) -> None:
    """Writes them, and tells their size and range."""
    if not args.picture.is_file():
        raise BadQuestion(f"no picture can be read from {str(args.picture)!r}: no such file")
    write = _values if args.out and args.out.suffix == NUMBERS else _drawer()
    model = commands.found(server, args)
    prepared, channels = commands.declared(args), args.channels or ()
    (found,) = model.explain(args.picture, "feature-maps", layer=args.layer, preprocessing=prepared, channels=channels)
    caution([found.provenance])
    out = args.out or Path(f"{args.picture.stem}-features.png")
    out = out if out.suffix else out.with_suffix(".png")
    out.parent.mkdir(parents=True, exist_ok=True)
    write(found, args, out)
    print(f"{_told(found)}\n  -> {out}")


def _told(found: Explanation) -> str:
    channels, height, width = found.heatmap.shape
    return f"{found.layer}: {channels} maps of {height}x{width}, {found.heatmap.min():.4g} to {found.heatmap.max():.4g}"


def _values(found: Explanation, args: Namespace, out: Path) -> None:
    np.save(out, found.heatmap)


def _drawer() -> Callable[[Explanation, Namespace, Path], None]:
    """Draws a mosaic; a missing extra is told before any work is done."""
    from backlit import sheets

    def draw(found: Explanation, args: Namespace, out: Path) -> None:
        title, how = f"{args.picture.stem}\n{_told(found)}", {"nrow": args.nrow, "padding": args.padding}
        if args.scale_each:
            figure = sheets.maps_each(found.heatmap, title, **how)
        else:
            shades = sheets.Shades(*args.value_range) if args.value_range else None
            figure = sheets.maps(found.heatmap, title, shades=shades, **how)
        figure.savefig(out)

    return draw
