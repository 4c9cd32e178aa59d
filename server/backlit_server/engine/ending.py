"""Which answer is the last of its question: known by counting heatmaps, without a look at what comes next."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.wanted import Every, Wanted

Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]


@dataclass
class Ending:
    """How many final heatmaps a question has `left` to tell, at most."""

    left: float

    def marked(self, answers: Iterable[Answer | None]) -> Iterator[Answer | None]:
        """The answers; the one after which nothing can be left says that it is the last."""
        for answer in answers:
            if answer is not None and answer[0].progress >= 1:
                self.left -= len(answer[0].explanations)
                answer[0].last = self.left == 0
            yield answer


def most_heatmaps(wanted: Sequence[Wanted]) -> float:
    """How many heatmaps of an image a method makes: so many, or fewer where its maps depend on no target."""
    return sum(_most(target) for target in wanted)


def _most(target: Wanted) -> float:
    if isinstance(target, str):
        return int(target.removeprefix("top"))
    return math.inf if isinstance(target, Every) else 1
