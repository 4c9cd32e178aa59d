"""What comes back: explanations, with the story of how each was made."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from backlit.measures import Measurement, read_measurement
from backlit.provenance import Provenance, read_provenance
from backlit.regions import SHARE, boxes
from backlit.words import word
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_array


@dataclass(frozen=True)
class DetectedBox:
    """The anchor whose score was explained, and its box.

    `corners`: x_min, y_min, x_max, y_max in pixels of the picture that was sent, or of the input where an array was;
    None where the model has no boxes. `iou` is that with the box asked for, 0 where none was. `convention` says how the
    model's box was read, such as "xyxy-normalized"; `assumed`, that nobody said so but the boxes look like it.
    """

    anchor: int
    corners: tuple[float, float, float, float] | None
    iou: float
    convention: str
    assumed: bool


@dataclass(frozen=True, eq=False)
class Explanation:
    """One heatmap: (height, width), or (channels, height, width) for methods with channels.

    `image` is the index in the batch; `target` the class, None for a seed that is not one class; `name` its name where
    the model has class names; `score` what was explained (before a final softmax or sigmoid), `output` the model's own
    output for the class; `scores` is the tensor that holds the score. `description` says what was explained where that
    is more than a class, `detection` which box of a detector; `scale` is "probability" or "log-odds" where one of these
    was explained instead of the score. `status` is "OK", or what is to be said of the map, such
    as "ALL_NONPOSITIVE", "CONSTANT" or "PARTIAL"; `note` says it in words. `facts` are what else the method found out,
    such as its standard error. `layers` are those whose maps became this one, where there were several; `layer` is then
    the one of its size. `measurements` are those that were asked for, in their order.
    """

    heatmap: np.ndarray = field(repr=False)
    image: int
    method: str
    layer: str
    target: int | None
    name: str
    score: float
    output: float
    status: str
    note: str
    provenance: Provenance = field(repr=False)
    scores: str = ""
    description: str = ""
    detection: DetectedBox | None = None
    facts: dict[str, float] = field(default_factory=dict)
    scale: str = ""
    layers: tuple[str, ...] = ()
    measurements: tuple[Measurement, ...] = ()

    @property
    def subject(self) -> str:
        """What was explained, in a few words: the class where it is one, else the description."""
        if self.target is None:
            return self.description or "seed"
        name = self.name or f"class {self.target}"
        return f"{self.scale} of {name}" if self.scale else name

    def box(
        self,
        size: tuple[int, int] | None = None,
        *,
        share: float | str = SHARE,
        input_size: tuple[int, int] | None = None,
    ) -> tuple[int, int, int, int] | None:
        """The box x_min, y_min, x_max, y_max of the largest hot region, None where nothing is hot.

        As `backlit.boxes`, which tells several and what the arguments are.
        """
        found = boxes(self, size, share=share, most=1, input_size=input_size)
        return found[0].corners if found else None


@dataclass(frozen=True, eq=False)
class Partial:
    """A heatmap on its way: `progress` is 1 when it is final."""

    progress: float
    explanation: Explanation

    @property
    def heatmap(self) -> np.ndarray:
        return self.explanation.heatmap

    @property
    def final(self) -> bool:
        return self.progress >= 1


def read_partials(response: pb.ExplainResponse) -> Iterator[Partial]:
    """The heatmaps of one message of the stream."""
    provenance = read_provenance(response.provenance)
    for message in response.explanations:
        for explanation in read_explanations(message, provenance):
            yield Partial(response.progress, explanation)


def read_finals(responses: Iterable[pb.ExplainResponse]) -> list[Explanation]:
    """The final heatmaps among the answers, images outer: of a run of several images, methods come one by one."""
    partials = (partial for response in responses for partial in read_partials(response))
    return sorted((p.explanation for p in partials if p.final), key=lambda explanation: explanation.image)


def read_explanations(message: pb.Explanation, provenance: Provenance) -> Iterator[Explanation]:
    """From the wire: one explanation, or one a class where a message holds the maps of several."""
    whole = read_explanation(message, provenance)
    if not message.HasField("classes"):
        yield whole
        return
    told, notes = message.classes, dict(message.classes.notes)
    facts = {name: to_array(values).tolist() for name, values in told.facts.items()}
    values = [to_array(tensor).tolist() for tensor in (told.scores, told.outputs, told.statuses)]
    words = {status: word(pb.HeatmapStatus, status) for status in set(values[2])}
    for k, (heatmap, score, output, status) in enumerate(zip(whole.heatmap, *values, strict=True)):
        yield Explanation(
            heatmap=heatmap,
            image=whole.image,
            method=whole.method,
            layer=whole.layer,
            target=told.first + k,
            name=told.names[k] if told.names else "",
            score=score,
            output=output,
            status=words[status],
            note=notes.get(status, ""),
            provenance=provenance,
            scores=whole.scores,
            facts={name: values[k] for name, values in facts.items()},
            scale=whole.scale,
        )


def read_explanation(message: pb.Explanation, provenance: Provenance) -> Explanation:
    """From the wire; the heatmap is the caller's own, writable copy."""
    target = message.target
    return Explanation(
        heatmap=to_array(message.heatmap).copy(),
        image=message.image,
        method=message.method,
        layer=message.layer,
        target=target.class_index if target.class_index >= 0 else None,
        name=target.class_name,
        score=target.score,
        output=target.output,
        status=word(pb.HeatmapStatus, message.status),
        note=message.note,
        provenance=provenance,
        scores=target.scores,
        description=target.description,
        detection=_detected(target.detection) if target.HasField("detection") else None,
        facts=dict(message.facts),
        scale=word(pb.Question.Scale, target.scale).lower().replace("_", "-"),
        layers=tuple(message.layers),
        measurements=tuple(read_measurement(m) for m in message.measurements),
    )


def _detected(message: pb.Detection) -> DetectedBox:
    box, said = message.box, message.convention
    format_and_units = (word(pb.BoxConvention.Format, said.format), word(pb.BoxConvention.Units, said.units))
    return DetectedBox(
        anchor=message.anchor,
        corners=(box.x_min, box.y_min, box.x_max, box.y_max) if message.HasField("box") else None,
        iou=message.iou,
        convention="-".join(part for part in format_and_units if part).lower(),
        assumed=message.convention_assumed,
    )
