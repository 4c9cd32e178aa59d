"""The `weights` command: lists the layers that have weights, and draws or writes those of one."""

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backlit import commands
from backlit.grammar import counts
from backlit.model import Model
from backlit.server import Server
from backlit.tables import table
from backlit.weights import Weights

NUMBERS = ".npy"
UNSAFE = str.maketrans("/:\\", "___")  # in the name of a file


def arguments(command: argparse.ArgumentParser) -> None:
    """What the command takes."""
    command.add_argument("model", metavar="MODEL", help="a stored model's name or digest, or an .onnx file")
    command.add_argument("layer", metavar="LAYER", nargs="?", help="its node or its weights; none: list all")
    command.add_argument(
        "--outputs", type=counts, default=(), metavar="K[,K...]", help="to draw; default: all that fit"
    )
    command.add_argument("--inputs", type=counts, default=(), metavar="K[,K...]", help="likewise")
    command.add_argument("--scale-each", action="store_true", help="each output relative to its strongest weight")
    command.add_argument("--out", type=Path, metavar="FILE", help=f"a picture, or {NUMBERS} for the values as they are")


def weights(server: Server, args: Namespace) -> None:
    """The list, or the weights of one layer."""
    write = _values if args.out and args.out.suffix == NUMBERS else _drawer()
    model = commands.found(server, args)
    if args.layer is None:
        _list(model)
        return
    found = model.weights(args.layer)
    out = args.out or Path(f"{args.layer.translate(UNSAFE).strip('_')}-weights.png")
    out = out if out.suffix else out.with_suffix(".png")
    out.parent.mkdir(parents=True, exist_ok=True)
    write(model, found, args, out)
    values = found.values
    print(f"{found.layer}: {values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}, std {values.std():.4g}")
    print(f"  -> {out}")


def _list(model: Model) -> None:
    rows = [
        (one.node, one.operator, "x".join(map(str, one.tensor.shape)), one.axes, one.tensor.name)
        for one in model.weighted_layers()
    ]
    print(table(("layer", "operator", "shape", "axes", "weights"), rows) if rows else "no convolutions or dense layers")


def _values(model: Model, found: Weights, args: Namespace, out: Path) -> None:
    np.save(out, found.values)


def _drawer() -> Callable[[Model, Weights, Namespace, Path], None]:
    """Draws them; a missing extra is told before any work is done."""
    from backlit import filters

    def draw(model: Model, found: Weights, args: Namespace, out: Path) -> None:
        bgr = model.preprocessing is not None and model.preprocessing.color == "bgr"
        shown = found.relative() if args.scale_each else found
        filters.drawn(shown, args.outputs, args.inputs, bgr=bgr).savefig(out)

    return draw
