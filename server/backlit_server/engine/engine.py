"""The engine: questions in, explanations out, one backbone run for all targets of an image."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.answers import Looked, Sent, respond
from backlit_server.engine.choices import explaining
from backlit_server.engine.ending import Ending, most_heatmaps
from backlit_server.engine.features import Features
from backlit_server.engine.frames import frames
from backlit_server.engine.inputs import image_size, images_in, pieces
from backlit_server.engine.joining import Pass, Run, most_images, run_together
from backlit_server.engine.looking import found
from backlit_server.engine.models import OpenModel
from backlit_server.engine.opening import Models
from backlit_server.engine.pictures import Pictures
from backlit_server.engine.plans import Plan, plans
from backlit_server.engine.questions import Wording, read_question
from backlit_server.engine.runtime import PRECISE, Runtime
from backlit_server.engine.stacks import Stack, respond_stack
from backlit_server.engine.warming import warm_up
from backlit_server.execution import Computed, Execution
from backlit_server.keeping import Keeping
from backlit_server.story import ENCODE, OPEN, PREPARE

PACKAGES = ("backlit", "numpy", "onnx", "onnxruntime-gpu", "onnxruntime")
Tensors = dict[str, np.ndarray]
Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]


class Engine:
    """Answers questions on one device. `store` is the folder of uploaded models, `threads` those of the one pool."""

    def __init__(
        self, store: Path, device: str, threads: int, execution: Execution = PRECISE, keeping: Keeping | None = None
    ) -> None:
        self.store = store
        self._runtime = Runtime(device, threads, execution)
        self._pictures = Pictures(self._runtime, execution.max_picture_megapixels)
        keeping = keeping or Keeping()
        self._models, self._preload = Models(store, self._runtime, keeping), keeping.preload
        self._features = Features(self._models.budget)
        self.device = self._runtime.device
        self.provider = self._runtime.provider
        self.versions = _versions()
        self._computed = Computed(self.device, self.provider, execution)
        self.watch, self.figures = self._runtime.watch, self._models.budget.figures

    def explain(
        self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]
    ) -> Generator[Answer | Pass | None, None, None]:
        """The answers as soon as they are ready, images outer, targets inner; heatmaps travel beside them.

        None between two passes of a method that takes many, so that others can have their turn; a Pass before the
        backbone runs, so that others can share the run. `question.model` is a digest; `tensors` are the data of the
        request's tensors in the order of tensors_in.
        """
        started = time.monotonic()
        question = read_question(request, tensors)
        end = started + question.wording.time_limit
        stored, computed = self.watch.call(OPEN, lambda: self._at(question.wording))
        model = explaining(stored, question.wording)
        each = plans(model, question.wording, computed, self.versions)
        inputs, prepared = yield from self.watch.each(PREPARE, self._pictures.inputs(question, model))
        size = image_size(inputs, model.anatomy.inputs)
        framed = frames(question.pictures, prepared, size)
        turns = list(pieces(inputs, model.anatomy.inputs, lambda: _at_once(model, inputs, each)))
        left = len(turns) * len(each)
        ending = Ending(images_in(inputs, model.anatomy.inputs) * len(each) * most_heatmaps(question.targets))
        for first, feeds in turns:
            run = Run(model, question.wording.model, feeds, first, framed, self._features)
            for plan in each:
                until = started + (end - started) / left
                session, asked = plan.forward(question.targets)
                yield from (run.alone if plan.wording.measures else run.needing)(session, asked)
                sent = Sent(prepared, size, run.passes[session.digest].reused)
                for looked in found(question, plan, run, prepared, until):
                    told = TELL[type(looked)](looked, first, plan.maker, sent)
                    yield from ending.marked(self.watch.each(ENCODE, told))
                started, left = time.monotonic(), left - 1

    def run(self, passes: Sequence[Pass]) -> None:
        """Makes passes of one kind together; those whose images cannot share a run are left for their questions.

        So are all where answers are to be the same to the last bit, which then may not depend on who else is asking.
        """
        if not self._runtime.execution.deterministic:
            run_together(passes)

    def warm_up(self) -> Iterator[None]:
        """Makes ready for the models that are to be, a step at a time, for whenever nobody asks."""
        return warm_up(self._models, self.explain, self._preload)

    def interrupt(self) -> None:
        """Ends the run in progress, from any thread."""
        self._runtime.interrupt()

    def forget(self, digest: str) -> None:
        """Drops the sessions of a deleted model."""
        self._models.forget(digest)

    def _at(self, wording: Wording) -> tuple[OpenModel, Computed]:
        """The model that is asked about, in the precision that is asked for, and how it computes."""
        precision = wording.precision or self._runtime.execution.precision
        model = self._models.get(wording.model).at(precision)
        return model, self._computed.at(precision, model.drift)


def _at_once(model: OpenModel, inputs: Tensors, each: Sequence[Plan]) -> int:
    """How many images go into one run; methods of many passes fill theirs with versions of one image."""
    together = not any(plan.wording.row.many_passes for plan in each)
    return most_images(model, inputs) if together and model.batching[0] else 1


TELL: dict[type, Callable[..., Iterable[Answer | None]]] = {
    Looked: respond,
    Stack: respond_stack,
    type(None): lambda *_: (None,),
}
"""The answers to what was found by one run."""


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}
