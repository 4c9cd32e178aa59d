"""The scores of a model: the tensor whose values are explained, before a final softmax or sigmoid or selection."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from onnx import helper

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.graph.reading.detectors import Detector, detector
from backlit_server.graph.reading.layers import sizes
from backlit_server.graph.reading.paths import dependent
from backlit_server.graph.reading.tasks import SIGMOID, Task, number_of_values, task
from backlit_server.graph.reading.wayback import Origin, origin
from backlit_server.graph.reading.wiring import Wiring

PROBABILITY, LOG_ODDS = "probability", "log-odds"  # scales
WHY = {
    "": "it ends in no softmax or sigmoid, so it is explained itself",
    "Softmax": "its final Softmax is left out, since a probability also rises when the other classes fall",
    "LogSoftmax": "its final LogSoftmax is left out, since a log-probability also rises when the other classes fall",
    "Sigmoid": "its final Sigmoid is left out, since it flattens the gradient of a confident answer",
}


@dataclass(frozen=True)
class Scores:
    """What is explained: the tensor, the graph output it leads to, and the activation left out ("" for none).

    `activated` is the tensor after that activation, of the scores' own layout. `binary`: one score an image behind a
    sigmoid, which speaks for class 1 and against class 0. Sizes that the file leaves open are -1 in `shape`. `scale`
    says what was made of them for a question (graph/scale.py), "" for the scores themselves.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    output: str
    activation: str
    activated: str
    binary: bool
    explanation: str
    task: Task
    scale: str = ""

    @property
    def even(self) -> float:
        """Of one score for two classes: the value that speaks for neither."""
        return 0.5 if self.scale == PROBABILITY else 0.0

    @functools.cached_property
    def beside(self) -> tuple[str, ...]:
        """The tensors that targets need beside the scores."""
        return tuple(name for name in (self.activated, self.task.boxes, self.task.kept) if name)


def all_scores(wires: Wiring, axes: Mapping[str, str]) -> tuple[Scores, ...]:
    """The scores behind each output that can be explained, the default first; NotExplainable where there is none.

    `axes` says where each map keeps its channels, height and width.
    """
    alive = dependent(wires)
    found: dict[str, Scores] = {}
    for output in wires.outputs:
        made = _behind(wires, axes, output) if output in alive else None
        if made is not None:
            found.setdefault(made.name, made)
    if not found:
        raise NotExplainable(
            f"no output of this model depends on its input through floats (outputs: {', '.join(wires.outputs)}); "
            "there is no score whose reasons could be shown"
        )
    boxes = {scores.task.boxes for scores in found.values()}
    return tuple(sorted(found.values(), key=lambda scores: scores.output in boxes))


def named(wires: Wiring, axes: Mapping[str, str], among: tuple[Scores, ...], name: str) -> Scores:
    """The scores called by name: one of the candidates, or any other tensor, as it is; BadQuestion where unknown."""
    for scores in among:
        if scores.name == name:
            return scores
    alive = [tensor for tensor in dependent(wires) if wires.float(tensor) and tensor not in wires.inputs]
    if name not in alive:
        close = get_close_matches(name, alive, n=5, cutoff=0.4) or [scores.name for scores in among]
        raise BadQuestion(
            f"{name!r} cannot be explained: the model has no tensor of this name that holds floats and depends on "
            f"the input; the nearest are {', '.join(close)}"
        )
    itself = Origin(name, "", name, "", None)
    said = f"{name!r}, as the question says"
    kind = task(wires, itself, axes, None)
    return Scores(name, _dtype(wires, name), sizes(wires, name), name, "", name, False, said, kind)


def _behind(wires: Wiring, axes: Mapping[str, str], output: str) -> Scores | None:
    """The scores that lead to an output, None where it does not come of floats."""
    head = detector(wires, output)
    found = origin(wires, head.scores if head else output)
    if not wires.float(found.name):
        return None
    kind = task(wires, found, axes, head)
    direct = not head and found.direct
    return Scores(
        name=found.name,
        dtype=_dtype(wires, found.name),
        shape=sizes(wires, found.name),
        output=output,
        activation=found.activation,
        activated=output if direct else found.activated,
        binary=found.activation == SIGMOID and number_of_values(wires, found.name) == 1,
        explanation=f"{_which(wires, output, found, head)}; {WHY[found.activation]}",
        task=kind,
    )


def _dtype(wires: Wiring, name: str) -> str:
    return helper.tensor_dtype_to_np_dtype(wires.kinds[name].dtype).name


def _which(wires: Wiring, output: str, found: Origin, head: Detector | None) -> str:
    name = f"the output {output!r}"
    if len(wires.outputs) > 1:
        name = f"{output!r}, the first of {len(wires.outputs)} outputs that holds floats and depends on the input"
    if head and head.kept:
        return f"what NonMaxSuppression chooses from to make {output!r}"
    return f"what {found.selection} chooses from to make {output!r}" if found.selection else name
