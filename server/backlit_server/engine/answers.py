"""From a raw map to the answer that leaves: rendered, judged, and with the story of how it was made."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import data_type_of
from backlit_server.engine.models import OpenModel
from backlit_server.engine.pictures import Recipe
from backlit_server.engine.questions import Question
from backlit_server.engine.rendering import render
from backlit_server.engine.targets import Row
from backlit_server.methods import METHODS

NOTES = {
    pb.HEATMAP_STATUS_OK: "",
    pb.HEATMAP_STATUS_ALL_NONPOSITIVE: (
        "no place at this layer speaks for the target; ask for a class the model finds more likely, or look at the "
        "negative values"
    ),
    pb.HEATMAP_STATUS_CONSTANT: "all places count alike, so the map says nothing; ask at an earlier layer",
    pb.HEATMAP_STATUS_GUARDED: (
        "features below zero break this method's assumption: where its denominator vanished, the place was left out; "
        "compare with layer-cam or hires-cam"
    ),
    pb.HEATMAP_STATUS_NOT_FINITE: "the map holds infinity or NaN: the model overflows on this input",
}


@dataclass(frozen=True)
class Answer:
    """A raw map for one row, and how often a guard stepped in while it was computed."""

    row: Row
    heatmap: np.ndarray
    guarded: int
    layer: str
    graphs: Sequence[str]


@dataclass(frozen=True)
class Maker:
    """What all answers to a question have in common."""

    question: Question
    model: OpenModel
    provider: str
    versions: Mapping[str, str]
    prepared: Recipe | None


def respond(answer: Answer, first_image: int, maker: Maker) -> tuple[pb.ExplainResponse, np.ndarray]:
    """The response, and beside it the heatmap that belongs into it."""
    image = maker.model.image
    size = (image.height, image.width) if image and image.height and image.width else _prepared_size(maker.prepared)
    rendered = render(answer.heatmap, maker.question.rendering, size)
    status = judge(answer) if METHODS[maker.question.method].needs_seed else pb.HEATMAP_STATUS_OK
    row = answer.row
    explanation = pb.Explanation(
        heatmap=pb.Tensor(data_type=data_type_of(rendered.heatmap.dtype), shape=rendered.heatmap.shape),
        image=first_image + row.image,
        target=pb.ResolvedTarget(class_index=row.class_index, score=row.score, output=row.output),
        layer=answer.layer,
        method=maker.question.method,
        status=status,
        note=NOTES[status],
        provenance=_provenance(answer, maker, rendered.steps),
    )
    return pb.ExplainResponse(explanation=explanation, progress=1), rendered.heatmap


def judge(answer: Answer) -> pb.HeatmapStatus:
    """What there is to say about a raw map: never a silent black picture."""
    heatmap = answer.heatmap
    low, high = heatmap.min(), heatmap.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        return pb.HEATMAP_STATUS_NOT_FINITE
    if answer.guarded:
        return pb.HEATMAP_STATUS_GUARDED
    if low == high and heatmap.size > 1:
        return pb.HEATMAP_STATUS_CONSTANT
    return pb.HEATMAP_STATUS_ALL_NONPOSITIVE if high <= 0 else pb.HEATMAP_STATUS_OK


def _provenance(answer: Answer, maker: Maker, steps: Sequence[str]) -> pb.Provenance:
    question = maker.question
    made = pb.Provenance(
        model_digest=question.model,
        graph_digest=hashlib.sha256("".join(answer.graphs).encode()).hexdigest(),
        execution_provider=maker.provider,
        versions=maker.versions,
        profile=question.profile,
        steps=steps,
        forward_passes=1,
    )
    made.parameters.update({k: list(v) if isinstance(v, tuple) else v for k, v in question.parameters.items()})
    if maker.prepared:
        made.preprocessing.CopyFrom(maker.prepared.message())
        made.preprocessing_assumed = question.preprocessing is None
    return made


def _prepared_size(prepared: Recipe | None) -> tuple[int, int] | None:
    return (prepared.height, prepared.width) if prepared else None
