"""What the time of a question goes into: written in a worker, told with the question's end, read in the front.

Moments are those of time.monotonic(), which all processes of a machine share.
"""

import struct
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

QUEUE, PREPARE, OPEN, BACKBONE, HEAD, METHOD, ENCODE = STAGES = (
    "queue",  # waiting for its turn
    "prepare",  # making inputs of pictures
    "open",  # loading models and sessions
    "backbone",
    "head",
    "method",  # all that is between the others
    "encode",  # rendering heatmaps and handing them over
)

T = TypeVar("T")


@dataclass(slots=True)
class Stage:
    """One kind of work: from when to when, and the seconds of it."""

    first: float
    last: float
    seconds: float

    def add(self, first: float, last: float) -> None:
        self.last = last
        self.seconds += last - first


@dataclass(slots=True)
class Story:
    """The stages of one question by name, and its runs of backbones by how many images went through."""

    stages: dict[str, Stage] = field(default_factory=dict)
    runs: dict[int, int] = field(default_factory=dict)

    def add(self, name: str, first: float, last: float) -> None:
        """Something was done from one moment to another."""
        if name in self.stages:
            self.stages[name].add(first, last)
        else:
            self.stages[name] = Stage(first, last, last - first)

    def sent(self, at: float) -> None:
        """The question's way to the worker is part of its wait."""
        if waited := self.stages.get(QUEUE):
            waited.seconds += waited.first - at
            waited.first = at

    def share(self, other: "Story") -> None:
        """What was done for several at once was done for this one too; its runs are told once."""
        for name, stage in other.stages.items():
            self.add(name, stage.first, stage.last)


Hear = Callable[[Story], None]
"""Told a story when its question has ended."""


class Stopwatch:
    """Tells whoever is worked for what the time goes into, in the one thread that works.

    One stage at a time: what is done within another is not part of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._story = Story()
        self._stage = METHOD
        self._since = 0.0

    def begin(self, story: Story) -> None:
        """From now on somebody is worked for."""
        self._story, self._stage, self._since = story, METHOD, self._clock()

    def end(self) -> None:
        """From now on nobody is."""
        self.to(METHOD)
        self._story = Story()

    def to(self, stage: str) -> str:
        """Goes over to another stage; the one before, to go back to."""
        now, before = self._clock(), self._stage
        self._story.add(before, self._since, now)
        self._stage, self._since = stage, now
        return before

    def ran(self, images: int) -> None:
        """So many images went through a backbone in one run."""
        runs = self._story.runs
        runs[images] = runs.get(images, 0) + 1

    def call(self, stage: str, work: Callable[[], T]) -> T:
        """What the work returns."""
        before = self.to(stage)
        try:
            return work()
        finally:
            self.to(before)

    def each(self, stage: str, steps: Iterable[T]) -> Generator[T, None, Any]:  # Any: what the steps return
        """What the steps yield, and return in the end; the time until the next one is asked for is not theirs."""
        left = iter(steps)
        while True:
            try:
                one = self.call(stage, lambda: next(left))
            except StopIteration as done:
                return done.value
            yield one


TIMES = struct.Struct(f"<{3 * len(STAGES)}d")  # of each stage: first, last, seconds; zeros where there was none
RUNS = struct.Struct("<II")  # images, and how many runs of so many


def packed(story: Story) -> bytes:
    """As it travels: JSON would take longer than all that it tells of."""
    times: list[float] = []
    for name in STAGES:
        stage = story.stages.get(name)
        times += (stage.first, stage.last, stage.seconds) if stage else (0.0, 0.0, 0.0)
    return TIMES.pack(*times) + b"".join(RUNS.pack(*run) for run in story.runs.items())


def unpacked(body: bytes) -> Story:
    """As it was packed; empty of a question that was let go before its end."""
    if not body:
        return Story()
    times = iter(TIMES.unpack_from(body))
    stages = {name: Stage(*found) for name, found in zip(STAGES, zip(times, times, times, strict=True), strict=True)}
    return Story(
        {name: stage for name, stage in stages.items() if stage.last},
        dict(RUNS.iter_unpack(body[TIMES.size :])),
    )
