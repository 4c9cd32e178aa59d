"""The process of one device: python -m backlit_server.workers.worker --fd N --store DIR --device cpu --threads 2.

It lives as long as its front: it ends when the socket does, and on Linux when its parent dies. It leaves by
os._exit, because an interpreter that shuts down while a thread is inside ONNX Runtime crashes.
"""

import argparse
import faulthandler
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from backlit_proto.errors import BacklitError
from backlit_server.execution import DeviceLost, Execution
from backlit_server.keeping import Keeping
from backlit_server.parent import die_with_parent, end_first
from backlit_server.workers.answering import Engine
from backlit_server.workers.channel import Channel, Frame, Kind
from backlit_server.workers.questions import Desk
from backlit_server.workers.refusals import failed

ENGINE = "backlit_server.engine.engine:Engine"
LOST = 4  # the exit status of a worker whose device is gone
BEFORE_THE_FRONT = 500  # thousandths of all memory: end_first()


log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves one device until the front says stop or is gone."""
    # Before the engine is imported: ONNX Runtime's wheels report home by default.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    options = parser().parse_args(arguments)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    # A terminal and a service manager signal the whole group; when a worker leaves is for the front to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with_parent()
    end_first(BEFORE_THE_FRONT)
    try:
        status = serve(Channel(socket.socket(fileno=options.fd)), options)
    except DeviceLost as lost:
        log.error("%s; the worker ends", lost)
        status = LOST
    except Exception:
        log.exception("the worker failed")
        status = 1
    os._exit(status)


def serve(channel: Channel, options: argparse.Namespace) -> int:
    """Opens the engine, greets the front, answers; the exit status."""
    try:
        engine = open_engine(options)
    except Exception as error:
        channel.send(failed(0, error))
        return 1

    def send(frame: Frame) -> None:
        try:
            channel.send(frame)
        except ConnectionError:
            os._exit(0)  # the front is gone: nobody is left to answer

    desk = Desk(engine, send, batch=options.batch or sys.maxsize, delay=options.delay)
    hello = {"device": engine.device, "provider": engine.provider, "versions": engine.versions}
    send(Frame(Kind.HELLO, body=json.dumps(hello).encode()))
    threading.Thread(target=listen, args=(channel, desk), name="listen", daemon=True).start()
    desk.run()
    return 0


def open_engine(options: argparse.Namespace) -> Engine:
    """The engine that `module:factory` names."""
    module, _, factory = options.engine.partition(":")
    make = getattr(importlib.import_module(module), factory)
    return make(options.store, options.device, options.threads, options.execution, options.keeping)


def listen(channel: Channel, desk: Desk) -> None:
    """Hands frames to the desk; ends the process, whatever it is doing, when there can be no more."""
    status = 1
    try:
        while True:
            desk.post(channel.receive())
    except EOFError:
        status = 0
    except BacklitError as error:
        log.error("the front does not speak frames: %s", error)
    except Exception:
        log.exception("the worker cannot listen any more")
    os._exit(status)


def parser() -> argparse.ArgumentParser:
    """What the front passes on."""
    parser = argparse.ArgumentParser("backlit_server.workers.worker", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the socket to the front")
    parser.add_argument("--store", type=Path, required=True, help="folder of the models")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or require-cuda, and perhaps :N")
    parser.add_argument("--threads", type=int, default=1, help="threads for computing")
    parser.add_argument(
        "--batch", type=int, default=0, help="images of several questions in one run; 0: as many as gain"
    )
    parser.add_argument("--delay", type=float, default=0, help="seconds that a run with room waits for more")
    parser.add_argument("--execution", type=_execution, default=Execution(), help="an Execution as JSON")
    parser.add_argument("--keeping", type=_keeping, default=Keeping(), help="a Keeping as JSON")
    factory = "module:factory; the factory takes store, device, threads, execution, keeping"
    parser.add_argument("--engine", default=ENGINE, help=factory)
    return parser


def _keeping(told: str) -> Keeping:
    return Keeping(**json.loads(told))


def _execution(told: str) -> Execution:
    return Execution(**json.loads(told))


if __name__ == "__main__":
    main()
