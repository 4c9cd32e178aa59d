"""What several commands take on the command line."""

import argparse
from pathlib import Path


def declarations(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what the file does not say")
    group.add_argument("--labels", type=Path, metavar="FILE", help="class names: one a line, or a JSON list")
    group.add_argument("--preset", help="how pictures are prepared: a name that `backlit methods` lists")
    group.add_argument("--mean", type=numbers, metavar="M[,M,M]", help="input = (pixel - mean) / std, pixels 0 to 255")
    group.add_argument("--std", type=numbers, metavar="S[,S,S]")
    group.add_argument("--color", choices=("rgb", "bgr", "grey"))
    group.add_argument("--fit", choices=("crop", "stretch", "pad"), help="how a picture becomes the input's size")
    group.add_argument("--crop", type=float, metavar="SHARE", help="of the shorter side that --fit crop keeps")


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or numbers with commas between") from None


def counts(text: str) -> tuple[int, ...]:
    """0,5,7 as numbers that count from 0."""
    if not all(part.isdigit() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers, for example 0,5,7")
    return tuple(int(part) for part in text.split(","))


def value_range(text: str) -> tuple[float, float]:
    """LOW,HIGH as two numbers, the smaller one first."""
    ends = numbers(text)
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH, for example 0,6")
    return ends
