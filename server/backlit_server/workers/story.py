"""What became of one question in its worker, as the worker tells it at the end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Stage(NamedTuple):
    """One kind of work: from when to when, on the clock of time.monotonic(), and the seconds of it."""

    first: float
    last: float
    seconds: float


@dataclass(frozen=True)
class Story:
    """The stages of a question by name, and how many images went through the passes that were made for it."""

    stages: Mapping[str, Stage] = field(default_factory=dict)
    batches: Sequence[int] = ()


NO_STORY = Story()  # of a question that was let go before its end


def pack_story(story: Story) -> bytes:
    """As it travels."""
    return json.dumps([story.stages, story.batches]).encode()


def unpack_story(body: bytes) -> Story:
    """As pack_story() packed it."""
    if not body:
        return NO_STORY
    stages, batches = json.loads(body)
    return Story({name: Stage(*times) for name, times in stages.items()}, batches)
