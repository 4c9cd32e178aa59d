"""One image of a batch as targets see it: its scores, and what lies beside them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backlit_server.engine.boxes import Convention
from backlit_server.engine.frames import Frame, Frames
from backlit_server.engine.targets import NO_CLASS, Detection, Row
from backlit_server.graph import Scores


@dataclass(frozen=True)
class View:
    """The scores of an image, the model's own outputs flat in the same order (NaN where it has none), and the rest.

    `about` says what the scores are. `made` holds all tensors of the run, of which `image` is the index in the batch.
    `frame` tells where the image lies in what was sent, `told` how the question says that boxes are written.
    """

    image: int
    scores: np.ndarray
    outputs: np.ndarray
    about: Scores
    made: Mapping[str, np.ndarray]
    frame: Callable[[], Frame]
    told: Convention

    def row(self, places: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray, *, said: str = "") -> Row:
        """The row of a weighted sum of scores."""
        score = float(np.dot(self.scores.reshape(-1)[places], values))
        return Row(self.image, places, values, NO_CLASS, score, float("nan"), self.about.name, said)

    def value(
        self,
        place: int,
        class_index: int = NO_CLASS,
        *,
        said: str = "",
        detection: Detection | None = None,
    ) -> Row:
        """The row of one score."""
        score, output = float(self.scores.reshape(-1)[place]), float(self.outputs[place])
        return Row(self.image, (place,), (1.0,), class_index, score, output, self.about.name, said, detection)


def views(made: Mapping[str, np.ndarray], about: Scores, frames: Frames, told: Convention) -> Iterator[View]:
    """A view an image of a run."""
    scores, outputs = made[about.name], made[about.activated]
    if outputs.size != scores.size:
        outputs = np.full_like(scores, np.nan)
    flat = outputs.reshape(len(scores), -1)
    for image in range(len(scores)):
        yield View(image, scores[image], flat[image], about, made, lambda image=image: frames(image), told)
