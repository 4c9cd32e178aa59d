"""The `backlit` command: models in, heatmaps over pictures out."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from backlit import commands, comparing, embedding, features, top, weighing
from backlit.doctor import doctor
from backlit.grammar import declarations
from backlit.regions import SHARE
from backlit.server import Server, connect
from backlit.spoken import ABOUT_TARGETS, read_target
from backlit_proto.errors import BacklitError

ABOUT = "Shows what an ONNX image model looked at."
EXAMPLES = """\
examples:
  backlit explain model.onnx cat.jpg
  backlit upload model.onnx --name demo --preset imagenet --labels classes.txt
  backlit explain demo cat.jpg dog.jpg --method cam --method grad-cam --target top3 --out maps
  backlit card demo --server maps.example.org:50051
  backlit compare demo pictures/ --methods grad-cam,layer-cam,random-cam
  backlit doctor model.onnx

Without --server (or the variable BACKLIT_SERVER) a private server runs for as long as the command needs it.
It keeps models where every server of this user does, so what was uploaded is there the next time.
"""
DOCTOR = "tell what can be done with a file and what it costs, here and without a server"
OBJECT = "box the largest region that is at least this share of the hottest place, or otsu; without a number 0.15"
STATUSES = (
    "exit status: 0 all methods for such a model work; 1 some do not; 2 the file cannot be read or explained; "
    "3 nothing was examined, because the server extra is not installed"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command: 0 when it went well, 1 with one line on stderr when not, 2 for a wrong command line.

    The doctor has statuses of its own: see its --help.
    """
    args = parser().parse_args(arguments)
    try:
        return args.run(args)
    except (BacklitError, ImportError, OSError) as error:
        print(f"backlit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("backlit: stopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = argparse.ArgumentParser(
        prog="backlit", description=ABOUT, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = _connection()
    rows = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (run, about, arguments) in COMMANDS.items():
        command = rows.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", parents=[shared])
        command.set_defaults(run=partial(_served, run))
        arguments(command)
    command = rows.add_parser("doctor", help=DOCTOR, description=f"{DOCTOR[0].upper()}{DOCTOR[1:]}.", epilog=STATUSES)
    command.set_defaults(run=doctor)
    _doctor(command)
    return top


def _served(run: Callable[[Server, argparse.Namespace], None], args: argparse.Namespace) -> int:
    """A command that asks a server."""
    with _connected(args) as server:
        run(server, args)
    return 0


def _connected(args: argparse.Namespace) -> Server:
    token = args.token_file.read_text().strip() if args.token_file else None
    address = args.server or os.environ.get("BACKLIT_SERVER") or args.unsaid
    return connect(address, token=token, tls=args.tls, ca=args.ca, cert=args.cert, key=args.key, timeout=args.timeout)


def _connection() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.set_defaults(unsaid=None)  # the address where none is said: of a private server
    group = shared.add_argument_group("connection")
    group.add_argument("--server", metavar="HOST:PORT", help="default: BACKLIT_SERVER, or a private server")
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="of each call; default: none")
    group.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds the bearer token")
    group.add_argument("--tls", action="store_true", help="encrypt, trusting the system's authorities")
    group.add_argument("--ca", metavar="FILE", help="PEM of the authority to trust; implies --tls")
    group.add_argument("--cert", metavar="FILE", help="PEM of the client's own certificate, with --key")
    group.add_argument("--key", metavar="FILE", help="PEM of its key")
    return shared


def _upload(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="an .onnx file")
    command.add_argument("--name", default="", help="a name to ask for it by")
    declarations(command)


def _explain(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a stored model's name or digest, or an .onnx file")
    command.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE", help="JPEG, PNG or WebP")
    command.add_argument("--method", action="append", help="repeatable; default: grad-cam")
    command.add_argument("--target", type=read_target, action="append", help=ABOUT_TARGETS)
    command.add_argument("--scores", metavar="TENSOR", help="what to explain; default: the card's scores")
    command.add_argument("--boxes", metavar="FORMAT", help="how a detector writes them, such as xyxy or cxcywh-pixels")
    command.add_argument(
        "--layer", action="append", help="tensor or node name; default: the card's default layer; several: made one map"
    )
    command.add_argument("--fuse", metavar="HOW", help="several layers: mean, max, product or tanh-max")
    command.add_argument("--smoothing", action="append", default=[], help="eigen or augmentation; repeatable")
    command.add_argument("--profile", default="paper", help="whose conventions hold: a name `backlit methods` lists")
    command.add_argument(
        "--size", type=_size, help="layer, input or HxW: of the maps in --json; default: the profile's"
    )
    command.add_argument("--set", type=_parameter, action="append", metavar="NAME=VALUE", help="a method's parameter")
    command.add_argument("--time-limit", type=float, metavar="SECONDS", help="a picture and method; then what is known")
    command.add_argument("--precision", help="single or half, of forward passes up to the layer; default: the server's")
    command.add_argument("--out", type=Path, metavar="DIR", help="where pictures go; default: here")
    command.add_argument("--object", type=_share, nargs="?", const=SHARE, metavar="SHARE", help=OBJECT)
    command.add_argument("--json", action="store_true", help="one JSON object a map; pictures only with --out")
    declarations(command)


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL")
    command.add_argument("file", type=Path, metavar="FILE", help="the .onnx file to write")
    command.add_argument("--method", default="grad-cam")
    command.add_argument("--layer", default="")
    command.add_argument("--pictures", action="store_true", help="the file takes uint8 pictures, as declared")


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="an .onnx file")
    command.add_argument("--json", action="store_true", help="one JSON object")


def _model(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a stored model's name, or the beginning of its digest")


def _maybe_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", nargs="?", help="say whether this model can answer each")


def _top(command: argparse.ArgumentParser) -> None:
    command.set_defaults(unsaid="localhost")  # there is nothing to see of a private server
    top.arguments(command)


def _nothing(command: argparse.ArgumentParser) -> None:
    pass


def _share(text: str) -> str | float:
    if text == "otsu":
        return text
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1 of the largest value, or otsu")
    return share


def _size(text: str) -> str | tuple[int, int]:
    if text in ("layer", "input"):
        return text
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not layer, input or HxW, for example 224x224")
    return int(sides[0]), int(sides[1])


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, for example masks=4000")
    return name, commands.parameter(value)


# fmt: off
COMMANDS = {
    "explain": (commands.explain, "write what the model looked at as pictures", _explain),
    "compare": (comparing.compare, "set methods beside one another, in measures", comparing.arguments),
    "features": (features.features, "write the values of a layer as a picture, one map a channel", features.arguments),
    "embed":   (embedding.embed, "draw a set of pictures where a layer puts them", embedding.arguments),
    "weights": (weighing.weights, "list the layers that have weights, or draw those of one", weighing.arguments),
    "upload":  (commands.upload,  "store a model and show its card", _upload),
    "models":  (commands.models,  "list the stored models", _nothing),
    "card":    (commands.card,    "show what the server found in a model", _model),
    "methods": (commands.methods, "list methods, their parameters, presets and profiles", _maybe_model),
    "devices": (commands.devices, "list what questions run on, and what is amiss with it", _nothing),
    "export":  (commands.export,  "write the rewritten model, heatmap included, as an ONNX file", _export),
    "delete":  (commands.delete,  "remove a model from the server", _model),
    "top":     (top.top, "show how a server is doing: questions, seconds, memory, failures", _top),
}
# fmt: on
