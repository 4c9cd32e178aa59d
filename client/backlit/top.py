"""`backlit top`: how a server is doing, in the terminal, again and again."""

import contextlib
import select
import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections import deque
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from backlit.metrics import Metrics, since
from backlit.server import Server
from backlit.watching import page

WINDOW = 10.0  # seconds that rates and quantiles are about
SWITCH, BACK, CLEAR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H\x1b[J"  # to the terminal's other screen and back

Wait = Callable[[float], bool]
"""Waits for so many seconds; whether to go on."""


def arguments(command: ArgumentParser) -> None:
    command.add_argument("server", metavar="ADDRESS", nargs="?", default=SUPPRESS, help="as --server")
    command.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two looks; default: 2")
    command.add_argument("--once", action="store_true", help="one look since the server's start; the default in a pipe")


def top(server: Server, args: Namespace) -> None:
    """Shows how the server is doing until q or Ctrl-C; without a terminal once."""
    if args.once or not sys.stdout.isatty():
        print(_since_the_start(server.metrics()), end="")
        return
    with _screen(), _keys() as wait, contextlib.suppress(KeyboardInterrupt):
        for text in _pages(server, args.interval, wait):
            print(f"{CLEAR}{server.address}  every {args.interval:g} s, q ends\n\n{text}", end="", flush=True)


def _pages(server: Server, interval: float, wait: Wait) -> Iterator[str]:
    """What there is to see now, and at first what there was since the server's start."""
    looks: deque[tuple[float, Metrics]] = deque([(time.monotonic(), server.metrics())])
    yield _since_the_start(looks[0][1])
    while wait(interval):
        now, metrics = time.monotonic(), server.metrics()
        while len(looks) > 1 and now - looks[1][0] >= WINDOW:
            looks.popleft()
        yield page(since(metrics, looks[0][1]), now - looks[0][0])
        looks.append((now, metrics))


def _since_the_start(metrics: Metrics) -> str:
    return page(metrics, metrics["backlit_uptime_seconds"].sum())


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    print(SWITCH, end="")
    try:
        yield
    finally:
        print(BACK, end="", flush=True)


@contextlib.contextmanager
def _keys() -> Iterator[Wait]:
    """A wait that ends with q, where keys can be read one by one."""
    if not (sys.stdin.isatty() and find_spec("termios")):
        yield _sleep
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _until_q
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


def _until_q(seconds: float) -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return not ready or sys.stdin.read(1) != "q"
