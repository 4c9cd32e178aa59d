"""Small engines for the tests of the workers: numpy alone, one behaviour a method name."""

import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, InternalError
from backlit_proto.tensors import data_type_of
from backlit_server.execution import DeviceLost, Execution
from backlit_server.keeping import Keeping
from backlit_server.story import Stopwatch

Answers = Generator[tuple[pb.ExplainResponse, Sequence[np.ndarray]] | None, None, None]


class Toy:
    """Does what `question.method` names; every heatmap says how many steps the worker has taken in all."""

    provider = "ToyExecutionProvider"
    versions = {"toy": "1"}  # noqa: RUF012, the engine's own face

    def __init__(
        self,
        store: Path,
        device: str,
        threads: int,
        execution: Execution | None = None,
        keeping: Keeping | None = None,
    ) -> None:
        self.device = device
        self._execution = execution
        self._store = store
        self.forgotten: list[str] = []
        self.watch = Stopwatch()
        self._steps = 0
        self._interrupted = threading.Event()

    def explain(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """The named behaviour."""
        behaviour = getattr(self, request.question.method)
        try:
            yield from behaviour(request, tensors)
        finally:
            self._interrupted.clear()

    def run(self, passes: Sequence[Any]) -> None:
        """Toys wait for no passes."""

    def warm_up(self) -> Iterator[None]:
        return iter(())

    def interrupt(self) -> None:
        self._interrupted.set()

    def figures(self) -> list[tuple[str | float, ...]]:
        return [("backlit_cache_entries", "toy", self._steps)]

    def forget(self, digest: str) -> None:
        self.forgotten.append(digest)

    def echo(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """Every tensor back, one answer each."""
        for number, tensor in enumerate(tensors):
            yield self._answer(tensor, image=number)

    def many(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """As many answers as the question's layer says."""
        for number in range(int(request.question.layer)):
            yield self._answer(np.full((7, 7), number, np.float32), image=number)

    def whole(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """As many answers as the question's layer says, the last of which says that it is the last."""
        count = int(request.question.layer)
        for number in range(count):
            response, heatmaps = self._answer(np.full((7, 7), number, np.float32), image=number)
            response.last = number + 1 == count
            yield response, heatmaps

    def large(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """As many answers as the question's layer says, of 1 MB each."""
        for number in range(int(request.question.layer)):
            yield self._answer(np.full((512, 512), number, np.float32), image=number)

    def steps(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """How many steps were taken before this one."""
        yield self._answer(np.array(self._steps, np.int64))

    def endless(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """Steps without an answer, until somebody closes it."""
        while True:
            self._steps += 1
            yield None

    def long_run(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """One answer, then one step that only interrupt() ends."""
        yield self._answer(np.zeros(1, np.float32))
        self._interrupted.wait()
        raise RuntimeError("the run was interrupted")

    def deaf_run(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """One answer, then one step that nothing ends but a signal; the store's file `deaf` says that it began."""
        yield self._answer(np.zeros(1, np.float32))
        (self._store / "deaf").touch()
        while True:
            time.sleep(60)

    def die(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """A crash in native code, as far as the outside can tell."""
        yield self._answer(np.zeros(1, np.float32))
        os.kill(os.getpid(), signal.SIGKILL)

    def pid(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        yield self._answer(np.array(os.getpid(), np.int64))

    def forgets(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """What forget() was told, as text."""
        yield self._answer(np.frombuffer(",".join(self.forgotten).encode(), np.uint8))

    def refuse(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        raise BadQuestion("no method 'refuse'; there is echo", method="refuse")
        yield

    def fail(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        yield self._answer(np.zeros(1, np.float32))
        raise ZeroDivisionError("a secret of the house")

    def lose(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """What an engine does when its device has failed; the store's file `lost-DEVICE` says that it is gone."""
        (self._store / f"lost-{self.device}").touch()
        raise DeviceLost(f"{self.device} does not compute any more")
        yield

    def told(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """How it was told to compute, as text."""
        yield self._answer(np.frombuffer(repr(self._execution).encode(), np.uint8))

    def starve(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        raise MemoryError
        yield

    def shout(self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Answers:
        """Prints to both streams what a model might put there."""
        print("on stdout \x1b[31mred\r", flush=True)
        print("WARNING on stderr", file=sys.stderr, flush=True)
        yield self._answer(np.zeros(1, np.float32))

    def _answer(self, heatmap: np.ndarray, image: int = 0) -> tuple[pb.ExplainResponse, list[np.ndarray]]:
        self._steps += 1
        tensor = pb.Tensor(data_type=data_type_of(heatmap.dtype), shape=heatmap.shape)
        return pb.ExplainResponse(explanations=[pb.Explanation(heatmap=tensor, image=image)], progress=1), [heatmap]


def breaks(store: Path, device: str, threads: int, execution: Execution, keeping: Keeping) -> Toy:
    """An engine that cannot start, and knows why."""
    raise InternalError("the toy is broken")


def vanishes(store: Path, device: str, threads: int, execution: Execution, keeping: Keeping) -> Toy:
    """An engine that kills its process while it starts."""
    os._exit(7)


def starts_once(store: Path, device: str, threads: int, execution: Execution, keeping: Keeping) -> Toy:
    """An engine that starts the first time and, while the store holds a file `broken`, not again."""
    if (store / "broken").exists():
        os._exit(7)
    (store / "broken").touch()
    return Toy(store, device, threads, execution)


def lives_with_its_device(store: Path, device: str, threads: int, execution: Execution, keeping: Keeping) -> Toy:
    """An engine that does not start while its device is gone."""
    if (store / f"lost-{device}").exists():
        raise InternalError(f"there is no {device} any more")
    return Toy(store, device, threads, execution)


def falls_back(store: Path, device: str, threads: int, execution: Execution, keeping: Keeping) -> Toy:
    """An engine that starts on another provider when its device is gone."""
    toy = Toy(store, device, threads, execution)
    if (store / f"lost-{device}").exists():
        toy.provider = "SlowExecutionProvider"
    return toy
