"""What a worker asks of its engine."""

from collections.abc import Generator, Hashable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_server.story import Stopwatch
from backlit_server.workers.figures import Figure

Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]
"""A response without its heatmaps' bytes, and the heatmaps."""


class Pass(Protocol):
    """A run that a question waits for. If nobody makes it, the question's next step does."""

    @property
    def kind(self) -> Hashable:
        """Equal for passes that may share a run."""
        ...

    @property
    def images(self) -> int: ...

    @property
    def most(self) -> int:
        """How many images may go into its run."""
        ...


class Engine(Protocol):
    """What answers questions; every call but interrupt() and figures() comes from one thread.

    `watch` is told whom it works for, and tells them what with.
    """

    provider: str
    device: str
    versions: dict[str, str]
    watch: Stopwatch

    def explain(
        self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]
    ) -> Generator[Answer | Pass | None, None, None]:
        """One answer a step, or None for a step that has none yet; a step takes about one run of a session.

        A Pass before a run that other questions may share.
        """
        ...

    def run(self, passes: Sequence[Any]) -> None:  # Any: its own passes, as explain() yielded them
        """Makes passes of one kind in one run."""
        ...

    def warm_up(self) -> Iterator[None]:
        """Makes ready for questions that are likely to come, a step of about one run at a time."""
        ...

    def interrupt(self) -> None:
        """Makes the step in progress return early, from any thread; without one, nothing."""
        ...

    def figures(self) -> Sequence[Figure]:
        """What it holds at present, from any thread."""
        ...

    def forget(self, digest: str) -> None:
        """Drops what is held for a deleted model."""
        ...
