"""Answers about all classes of an image: their maps in one stack, and what is told of each class in a few lists.

A message a class would cost more than its map: 1,000 classes of 7 x 7 are 196 kB of maps.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import data_type_of, to_tensor
from backlit_server.engine.answers import Looked, Maker, Passes, Sent, parts
from backlit_server.engine.backbones import Backbone
from backlit_server.engine.causes import Ran, causes
from backlit_server.engine.heads import Head
from backlit_server.engine.models import OpenModel
from backlit_server.engine.questions import Wording
from backlit_server.engine.target_kinds import all_values, rows
from backlit_server.engine.targets import NO_CLASS, SCALES
from backlit_server.engine.verdicts import NOTES, OK, judge
from backlit_server.engine.views import View
from backlit_server.graph import Scores
from backlit_server.graph.class_maps import JUDGED
from backlit_server.methods.method import LAYER, Method

OWN = frozenset(("", "weights"))  # seedings that leave the gradients as they are
Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Stack:
    """The maps of several classes of one image, from the class `first` on. `looked` holds one a class, and no rows."""

    image: int
    first: int
    scores: np.ndarray
    outputs: np.ndarray
    about: Scores
    statuses: np.ndarray
    looked: Looked


@dataclass(frozen=True)
class Summary:
    """Of each map the smallest value, the largest, and the sum; NaN may have been passed over, but not by the sum."""

    low: np.ndarray
    high: np.ndarray
    total: np.ndarray


def class_head(wording: Wording, model: OpenModel, backbone: Backbone) -> Head | None:
    """What makes the maps of all classes of an image in one run; None where each class takes a seed."""
    row, found = wording.row, model.anatomy
    formula = row.needs_seed and not row.many_passes and row.at == LAYER and row.rules in OWN
    if backbone.cut is None or not formula or found.scores.binary or found.arithmetic.quantised:
        return None
    return model.heads.for_classes(backbone.cut, row, wording.parameters)


def product(head: Head, wording: Wording, ran: Ran, views: Iterator[View]) -> Iterator[Stack]:
    """All classes of each image in one run: the product of its features with the weights of the head."""
    (layer,) = head.session.inputs
    for view in views:
        found = head.session.run({layer: ran.made[layer][view.image : view.image + 1]})
        summary = Summary(*(found.pop(name) for name in JUDGED))
        heatmaps = found.pop("heatmap")
        guarded = found.pop("guarded", np.zeros(len(heatmaps)))
        why = _causes(ran, wording.row, view, heatmaps, np.flatnonzero((summary.low == 0) & (summary.high == 0)))
        looked = Looked((), heatmaps, guarded, layer, head.digest, Passes(forward=1), facts=found, causes=why)
        yield Stack(view.image, 0, *all_values(view), view.about, stack_statuses(looked, summary, wording), looked)


def _causes(ran: Ran, row: Method, view: View, heatmaps: np.ndarray, empty: np.ndarray) -> Sequence[pb.HeatmapStatus]:
    """Why the empty ones among the maps of all classes are empty."""
    if not len(empty):
        return ()
    found = [OK] * len(heatmaps)
    for index, why in zip(empty, causes(ran, row, rows(empty.tolist(), [view]), heatmaps[empty]), strict=True):
        found[index] = why
    return found


def stacked(looks: Iterable[Looked | None], about: Scores, wording: Wording) -> Iterator[Stack | None]:
    """What runs found with a row a class, images outer, as a stack an image; `about` says what the scores are."""
    for looked in looks:
        yield from _by_image(looked, about, wording) if looked else (None,)


def _by_image(looked: Looked, about: Scores, wording: Wording) -> Iterator[Stack]:
    start = 0
    for image, some in groupby(looked.rows, lambda row: row.image):
        rows = list(some)
        part = slice(start, start + len(rows))
        start = part.stop
        own = replace(
            looked,
            rows=(),
            heatmaps=looked.heatmaps[part],
            guarded=looked.guarded[part],
            facts={name: values[part] for name, values in looked.facts.items()},
            causes=looked.causes[part],
        )
        statuses = stack_statuses(own, summary_of(own.heatmaps), wording)
        scores, outputs = (np.array(values) for values in zip(*((row.score, row.output) for row in rows), strict=True))
        yield Stack(image, rows[0].class_index, scores, outputs, about, statuses, own)


def respond_stack(stack: Stack, first_image: int, maker: Maker, sent: Sent) -> Iterator[Answer]:
    """The responses for the maps of all classes."""
    looked = stack.looked
    for part, heatmaps, response in parts(looked, maker, sent):
        response.explanations.add(
            heatmap=pb.Tensor(data_type=data_type_of(heatmaps.dtype), shape=heatmaps.shape),
            image=first_image + stack.image,
            target=_target(stack),
            layer=looked.layer,
            layers=looked.layers,
            method=maker.wording.method,
            classes=_classes(stack, part),
        )
        yield response, [heatmaps]


def _target(stack: Stack) -> pb.ResolvedTarget:
    about = stack.about
    told = pb.ResolvedTarget(class_index=NO_CLASS, scores=about.name, description="all classes")
    if about.scale:
        told.scale = SCALES[about.scale]
    return told


def _classes(stack: Stack, part: slice) -> pb.Classes:
    statuses = stack.statuses[part]
    told = set(statuses.tobytes())
    return pb.Classes(
        first=stack.first + part.start,
        scores=to_tensor(stack.scores[part]),
        outputs=to_tensor(stack.outputs[part]),
        statuses=to_tensor(statuses),
        notes={status: note for status, note in NOTES.items() if note and status in told},
        facts={name: to_tensor(np.asarray(values[part], np.float64)) for name, values in stack.looked.facts.items()},
    )


def stack_statuses(looked: Looked, summary: Summary, wording: Wording) -> np.ndarray:
    """As `judge`, which here looks alone at those maps that are neither fine nor all nonpositive."""
    low, high, total = summary.low, summary.high, summary.total
    known = np.array(looked.causes) if len(looked.causes) else np.full(len(low), OK)
    usual = np.isfinite(total) & (low < high) & (looked.guarded == 0) & (known == OK)
    statuses = np.where(high > 0, OK, pb.HEATMAP_STATUS_ALL_NONPOSITIVE).astype(np.uint8)
    odd = np.arange(len(low)) if wording.rendering.epsilon else np.flatnonzero(~usual)
    if len(odd):
        statuses[odd] = judge(looked.heatmaps[odd], looked.guarded[odd], known[odd].tolist(), wording.rendering)
    if looked.short:
        statuses[statuses == OK] = pb.HEATMAP_STATUS_PARTIAL
    return statuses


def summary_of(heatmaps: np.ndarray) -> Summary:
    flat = heatmaps.reshape(len(heatmaps), -1)
    return Summary(flat.min(1), flat.max(1), flat.sum(1))
