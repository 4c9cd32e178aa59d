"""One worker process as the front sees it: questions go in, answers come out, until it ends."""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Self

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, ServerUnavailable
from backlit_server import limits
from backlit_server.story import Hear, unpacked
from backlit_server.workers.channel import Channel, Frame, Kind
from backlit_server.workers.figures import Figure, Looks
from backlit_server.workers.messages import Heard, detach_question, heard, unpack_refusal, without_story
from backlit_server.workers.reading import Reader
from backlit_server.workers.relay import relay
from backlit_server.workers.terms import Terms

START_SECONDS = 120  # CUDA takes tens of seconds to wake up on a cold machine
CAUSE_SECONDS = 0.03  # callers hear of a death within 50 ms, with its cause if that is known by then
START_CAUSE_SECONDS = 2  # before it was ready nobody has asked it anything, and its cause may take its time
RELAY_SECONDS = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hello:
    """How a worker introduces itself: what it really runs on."""

    device: str
    provider: str
    versions: Mapping[str, str]


class WorkerProcess:
    """A process, and the thread that writes what may block; everything but that thread belongs to the event loop.

    Frames wait in a queue for the thread that writes, so that a worker that does not read never blocks the loop. A
    worker that goes on with a question for `patience` seconds after it was cancelled is ended.
    """

    @classmethod
    async def launch(cls, command: Sequence[str], patience: float) -> Self:
        """Starts the command with its end of a socket pair; ServerUnavailable when the system refuses.

        Called in the thread of the event loop: Linux kills the worker when the thread that started it ends.
        """
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.enter_context(ours)
            try:
                child = await asyncio.create_subprocess_exec(
                    *(*command, "--fd", str(theirs.fileno())),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    # The server's own stdout is for the line that says where it listens.
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                raise ServerUnavailable(f"no worker can be started: {error.strerror}") from error
            undo.pop_all()
        return cls(child, Channel(ours), patience)

    def __init__(self, child: asyncio.subprocess.Process, channel: Channel, patience: float) -> None:
        self.ended = asyncio.Event()
        self._child = child
        self._ended_before = limits.ended()
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[Frame] = self._loop.create_future()
        self._numbers = itertools.count(1)
        self._questions: dict[int, asyncio.Queue[Frame | BacklitError]] = {}
        self._looks = Looks()
        self._patience = patience
        self._cancelled: dict[int, asyncio.TimerHandle] = {}
        self._outbox: SimpleQueue[Frame | None] = SimpleQueue()
        self._posted = self._written = 0
        self._relay = asyncio.create_task(relay(child.stdout)) if child.stdout else None
        self._reader = Reader(channel, self._arrived, self._end)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    @property
    def questions(self) -> int:
        """How many the worker is busy with."""
        return len(self._questions)

    async def greeting(self) -> Hello:
        """What the worker says once it is ready; what it raised, or ServerUnavailable, when it cannot start."""
        try:
            async with asyncio.timeout(START_SECONDS):
                frame = await self._hello
        except TimeoutError:
            raise ServerUnavailable(f"a worker was not ready after {START_SECONDS} s") from None
        except EOFError:
            await self.kill(START_CAUSE_SECONDS)
            raise ServerUnavailable(f"a worker ended before it was ready ({self.cause})") from None
        if frame.kind is Kind.FAIL:
            _, told = without_story(frame.body)
            raise unpack_refusal(told)
        return Hello(**json.loads(frame.body))

    async def explain(
        self, request: pb.ExplainRequest, terms: Terms, hear: Hear
    ) -> AsyncGenerator[pb.ExplainResponse, None]:
        """The answers as they come, and to `hear` the story of how they were made, or why they were not.

        Leaving early cancels the question, and answers not taken wait in the worker.
        """
        sent = time.monotonic()
        number = next(self._numbers)
        arrivals = self._questions[number] = asyncio.Queue()
        try:
            self.send(Frame(Kind.EXPLAIN, number, *detach_question(request, terms)))
            said = Heard()
            while said.story is None:
                said = heard(await arrivals.get())
                if said.story is None:
                    self.send(Frame(Kind.ACK, number))
                if said.answer is not None:
                    yield said.answer
            story = unpacked(said.story)
            story.sent(sent)
            hear(story)
            if said.refusal is not None:
                raise said.refusal
        finally:
            if self._questions.pop(number, None) is not None:
                self._cancelled[number] = self._loop.call_later(self._patience, self._lose_patience, number)
                self.send(Frame(Kind.CANCEL, number))

    async def figures(self) -> list[Figure]:
        """What the worker says of itself; nothing where it cannot even do that."""
        return await self._looks.look(self.send, next(self._numbers))

    def send(self, frame: Frame) -> None:
        """Sends a frame at once where that cannot block, else leaves it for the thread that writes.

        After the end it goes nowhere. A thread that wakes up costs more than all else that a small frame does.
        """
        if self._posted == self._written and self._channel.takes(frame):
            self._deliver(frame)
        else:
            self._posted += 1
            self._outbox.put(frame)

    def abandon(self, loss: Callable[[], BacklitError]) -> None:
        """Raises the loss in every question in flight."""
        for arrivals in self._questions.values():
            arrivals.put_nowait(loss())
        self._questions.clear()

    async def kill(self, patience: float = CAUSE_SECONDS) -> None:
        """Ends the process unless it ends by itself within so many seconds; returns whether or not it has ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._child.wait(), patience)
        if self._child.returncode is None:
            # Not child.kill(): it may take away the exit status that asyncio is waiting for.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, signal.SIGKILL)

    @property
    def cause(self) -> str:
        """How the process ended, in a word or two."""
        status = self._child.returncode
        if status is None:
            return "cause not known yet"
        if status == -signal.SIGKILL and limits.ended() > self._ended_before:
            return "SIGKILL, for want of memory: ask for less at once, or start the server with less --cpu-memory-mb"
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    async def release(self) -> None:
        """After kill(): waits for the process and gives back threads, sockets and memory."""
        for timer in self._cancelled.values():
            timer.cancel()
        await self._child.wait()
        self._channel.shutdown()
        self._outbox.put(None)
        self._writer.join()
        await self._reader.stop()
        self._channel.close()
        if self._relay is not None:
            await asyncio.wait([self._relay], timeout=RELAY_SECONDS)
            self._relay.cancel()

    def _write(self) -> None:
        """The thread that sends what may block."""
        while (frame := self._outbox.get()) is not None:
            self._deliver(frame)
            self._written += 1

    def _deliver(self, frame: Frame) -> None:
        try:
            self._channel.send(frame)
        except OSError:
            log.debug("a frame came too late for its worker")  # the reader notices, and says so
        except BacklitError as error:
            self._loop.call_soon_threadsafe(self._close, frame.question, error)

    def _arrived(self, frame: Frame) -> None:
        if frame.question == 0 and not self._hello.done():
            self._hello.set_result(frame)
        elif frame.kind is Kind.FIGURES:
            self._looks.told(frame)
        elif frame.kind is not Kind.ANSWER:
            self._close(frame.question, frame)
        elif frame.question in self._questions:
            self._questions[frame.question].put_nowait(frame)

    def _close(self, number: int, last: Frame | BacklitError) -> None:
        """Passes on the last that is heard of a question, unless its caller has left."""
        if timer := self._cancelled.pop(number, None):
            timer.cancel()
        if number in self._questions:
            self._questions.pop(number).put_nowait(last)

    def _lose_patience(self, number: int) -> None:
        """Nobody waits for this question any more, and it keeps all others waiting."""
        log.error("a worker went on for %g s after its caller had left; it is ended", self._patience)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGKILL)

    def _end(self) -> None:
        self.ended.set()
        if not self._hello.done():
            self._hello.set_exception(EOFError())
            self._hello.exception()  # nobody may be waiting for it any more
