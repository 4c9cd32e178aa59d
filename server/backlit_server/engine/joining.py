"""The forward passes of a question, which those of other questions can join: images are images, whatever is asked."""

import functools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from backlit_server.engine.answers import Looked
from backlit_server.engine.features import Features
from backlit_server.engine.frames import Frame, Frames
from backlit_server.engine.inputs import images_in
from backlit_server.engine.models import OpenModel
from backlit_server.engine.providers import CPU
from backlit_server.engine.questions import Wording
from backlit_server.engine.runtime import Session
from backlit_server.engine.spreading import Runs, rows, spread
from backlit_server.graph import Spec
from backlit_server.graph.both_ways import ASKED

Tensors = dict[str, np.ndarray]
# Numbers in the images of one run on a CPU, for each of two threads or more: caches hold no more of what one layer
# leaves for the next. On two, EfficientNet-Lite0 takes 2.9 ms an image of 224x224 in runs of 4, 3.1 in runs of 8, 3.4
# to 3.7 in runs of 16.
CPU_NUMBERS = 320_000
RUN_BYTES = 64 << 20  # of images or features in one run elsewhere
SHARED = 32  # images of several questions in one run: all of them wait for its end


@dataclass(eq=False)
class Pass:
    """A forward pass of some images by the model of a digest, the `owner`, and what came of it.

    Whoever drives the question may have it made in one run with others of its kind; what nobody has made is made when
    it is first asked for. `reused`: an earlier question had made it.
    """

    owner: str
    model: OpenModel
    session: Session
    feeds: Mapping[str, np.ndarray]
    made: Tensors | None = None
    reused: bool = False

    @functools.cached_property
    def images(self) -> int:
        return images_in(self.feeds, self.model.anatomy.inputs)

    @functools.cached_property
    def most(self) -> int:
        """How many images a run gains from."""
        return min(SHARED, most_images(self.model, self.feeds))

    @functools.cached_property
    def kind(self) -> Hashable:
        """Equal for passes that may share a run: one graph of one model, inputs that differ in their images alone."""
        shapes = tuple(_shape(spec, self.feeds[spec.name]) for spec in self.model.anatomy.inputs)
        return self.owner, self.session.digest, shapes

    @property
    def here(self) -> Sequence[str]:
        """What is read of it on the host: the maps, where it leads both ways; else the rest is for heads, as a rule."""
        scores = self.model.anatomy.scores
        return self.session.outputs if ASKED in self.feeds else (scores.name, *scores.beside)

    def tensors(self) -> Tensors:
        """What the pass makes of its inputs."""
        if self.made is None:
            self.made = rows(self.forward(self.feeds, self.images), slice(0, self.images))
        return self.made

    def forward(self, feeds: Mapping[str, np.ndarray], images: int) -> Runs:
        """The same pass of these images."""
        self.session.ran(images)
        return spread(self.model, self.session, feeds, images, self.here)


@dataclass
class Run:
    """The inputs of some images, and the forward passes that are made of them, which several methods share.

    `first` is the index of the first image in the question, `frames` those of all its images. `waiting`: what one head
    found for later methods.
    """

    model: OpenModel
    owner: str
    feeds: Tensors
    first: int
    frames: Frames
    features: Features
    passes: dict[str, Pass] = field(default_factory=dict)
    made: dict[str, Tensors] = field(default_factory=dict)
    waiting: dict[Wording, list[Looked]] = field(default_factory=dict)

    @functools.cached_property
    def images(self) -> int:
        return images_in(self.feeds, self.model.anatomy.inputs)

    def frame(self, image: int) -> Frame:
        """Where one of these images lies in what was sent."""
        return self.frames(self.first + image)

    def needing(self, session: Session, asked: int | None) -> Iterator[Pass]:
        """The pass, for whoever may make it together with others; nothing where it has been made before.

        `asked` is the class that a pass goes on with which leads both ways.
        """
        digest = session.digest
        if digest not in self.passes:
            feeds = self._asking(asked)
            known = self.features.found(self.owner, digest, feeds)
            wanted = self.passes[digest] = Pass(self.owner, self.model, session, feeds, known, known is not None)
            if not wanted.reused:
                yield wanted

    def alone(self, session: Session, asked: int | None) -> Iterator[Pass]:
        """As needing(), where it is measured what a method takes: nobody makes the pass for it, now or before."""
        self.made.pop(session.digest, None)
        self.passes[session.digest] = Pass(self.owner, self.model, session, self._asking(asked))
        return iter(())

    def _asking(self, asked: int | None) -> Tensors:
        return self.feeds if asked is None else self.feeds | {ASKED: np.full(self.images, asked)}

    def forward(self, session: Session) -> Tensors:
        """All tensors of a forward pass, the inputs among them; one that an earlier question made is not run again."""
        digest = session.digest
        if digest not in self.made:
            one = self.passes[digest]
            tensors = one.tensors()
            if not one.reused:
                self.features.remember(self.owner, digest, one.feeds, tensors)
            self.made[digest] = self.feeds | tensors
        return self.made[digest]


def most_images(model: OpenModel, inputs: Mapping[str, np.ndarray]) -> int:
    """How many images go into one run of the network."""
    images = images_in(inputs, model.anatomy.inputs)
    given = [inputs[spec.name] for spec in model.anatomy.inputs if spec.batched]
    if model.plain.provider == CPU:
        numbers = CPU_NUMBERS * max(2, model.plain.lanes)
        return max(1, numbers * images // max(1, sum(array.size for array in given)))
    return max(1, RUN_BYTES * images // max(1, sum(array.nbytes for array in given)))


def run_together(passes: Sequence[Pass]) -> None:
    """Makes passes of one kind in one run; where images cannot share one, all are left for each to make its own."""
    first = passes[0]
    if not first.model.joins(first.session):
        return
    ends = list(accumulate(one.images for one in passes))
    runs = first.forward(_joined(passes), ends[-1])
    if any(len(array) % images for images, made in runs for array in made.values()):
        return
    for one, end in zip(passes, ends, strict=True):
        one.made = rows(runs, slice(end - one.images, end))


def _shape(spec: Spec, array: np.ndarray) -> Hashable:
    """What has to be the same; of an input that is no batch of images, all of it."""
    return (array.dtype, array.shape[1:]) if spec.batched else (array.dtype, array.shape, array.tobytes())


def _joined(passes: Sequence[Pass]) -> Tensors:
    """The inputs of all of them; what is no batch of images is the same in each."""
    alike = {spec.name for spec in passes[0].model.anatomy.inputs if not spec.batched}
    each = {name: [one.feeds[name] for one in passes] for name in passes[0].feeds}
    return {name: arrays[0] if name in alike else np.concatenate(arrays) for name, arrays in each.items()}
