"""From a raw map to the answer that leaves: rendered, judged, and with the story of how it was made."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import data_type_of
from backlit_server.engine.questions import Wording
from backlit_server.engine.recent import Recent, in_words
from backlit_server.engine.rendering import pixels, render
from backlit_server.engine.targets import Row, resolve
from backlit_server.engine.verdicts import NOTES, OK, judge, judge_untargeted
from backlit_server.execution import Computed
from backlit_server.graph import Arithmetic, PictureRecipe

MOST_KNOWN = 64  # provenances of answers in the same words
MOST_BYTES = 3 << 20  # of heatmaps in one response: gRPC clients take 4 MiB unless told otherwise


@dataclass(frozen=True)
class Passes:
    """What an image took: passes of the whole network, from its scores back to the image, and of the head alone."""

    forward: int = 0
    backward: int = 0
    head: int = 0

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(self.forward + other.forward, self.backward + other.backward, self.head + other.head)


@dataclass(frozen=True)
class Looked:
    """What one run found: raw maps (rows, ..., height, width), and how often a guard stepped in for each.

    Of methods of many passes: how far they have come, facts by name with a value a row, and whether they were cut
    short by the time limit. Of several layers made one map: those layers; `steps` are what was done to make it.
    `measurements` are those of each row, where any were asked for. `causes` are the statuses that were known before the
    maps were looked at.
    """

    rows: Sequence[Row]
    heatmaps: np.ndarray
    guarded: np.ndarray
    layer: str
    graph_digest: str
    passes: Passes
    progress: float = 1
    facts: Mapping[str, np.ndarray] = field(default_factory=dict)
    short: bool = False
    layers: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    measurements: Sequence[Sequence[pb.Measurement]] = ()
    causes: Sequence[pb.HeatmapStatus] = ()


@dataclass(frozen=True)
class Sent:
    """How the images of a question came: `input_size` is None where no input is an image.

    `prepared` tells what made inputs of pictures, `reused` whether an earlier question had already made the forward
    pass of these images.
    """

    prepared: PictureRecipe | None
    input_size: tuple[int, int] | None
    reused: bool = False


@dataclass(frozen=True, eq=False)
class Maker:
    """What all answers to a question in these words have in common; `known` is what was told of their making."""

    wording: Wording
    computed: Computed
    versions: Mapping[str, str]
    arithmetic: Arithmetic
    known: Recent[Hashable, pb.Provenance] = field(default_factory=lambda: Recent(MOST_KNOWN))


def respond(
    looked: Looked, first_image: int, maker: Maker, sent: Sent
) -> Iterator[tuple[pb.ExplainResponse, Sequence[np.ndarray]]]:
    """The responses for what one run found, each with the heatmaps that belong into it, one a row."""
    statuses = _statuses(looked, maker.wording)
    for part, heatmaps, response in parts(looked, maker, sent):
        shape = pb.Tensor(data_type=data_type_of(heatmaps.dtype), shape=heatmaps.shape[1:])
        alike = pb.Explanation(heatmap=shape, layer=looked.layer, layers=looked.layers, method=maker.wording.method)
        for k, (row, status) in enumerate(zip(looked.rows[part], statuses[part], strict=True), part.start):
            told = response.explanations.add()
            told.CopyFrom(alike)
            told.image, told.status, told.note = first_image + row.image, status, NOTES[status]
            resolve(told.target, row)
            _add_findings(told, looked, k)
        yield response, list(heatmaps)


def parts(looked: Looked, maker: Maker, sent: Sent) -> Iterator[tuple[slice, np.ndarray, pb.ExplainResponse]]:
    """What a message holds at most: which of the maps, finished, and the response that they are to go into."""
    step = rows_at_once(looked.heatmaps.shape[1:], maker.wording.rendering.size, sent.input_size)
    for start in range(0, len(looked.heatmaps), step):
        part = slice(start, start + step)
        rendered = render(looked.heatmaps[part], maker.wording.rendering, sent.input_size)
        how = provenance(looked, maker, sent, rendered.steps)
        response = pb.ExplainResponse(progress=looked.progress, provenance=how)
        yield part, rendered.heatmaps, response


def _add_findings(told: pb.Explanation, looked: Looked, k: int) -> None:
    """What methods of many passes and measures tell of a row."""
    if looked.facts:
        told.facts.update({name: float(values[k]) for name, values in looked.facts.items()})
    if looked.measurements:
        told.measurements.extend(looked.measurements[k])


def rows_at_once(shape: tuple[int, ...], size: str | tuple[int, int], input_size: tuple[int, int] | None) -> int:
    """How many maps of this shape fit into a response when they are finished to that size."""
    if size == "layer":
        return max(1, MOST_BYTES // (4 * math.prod(shape)))
    height, width = pixels(size, shape[-2:], input_size)
    return max(1, MOST_BYTES // (4 * height * width * math.prod(shape[:-2])))


def _statuses(looked: Looked, wording: Wording) -> list[pb.HeatmapStatus]:
    """What there is to say about each raw map."""
    causes = looked.causes or [OK] * len(looked.rows)
    if not wording.row.needs_seed:
        return judge_untargeted(looked.heatmaps, causes)
    found = judge(looked.heatmaps, looked.guarded, causes, wording.rendering)
    short = {OK: pb.HEATMAP_STATUS_PARTIAL} if looked.short else {}
    return [short.get(status, status) for status in found]


def provenance(looked: Looked, maker: Maker, sent: Sent, steps: tuple[str, ...]) -> pb.Provenance:
    """How the maps of a run were made. A message is slow to build, and stays the same from answer to answer."""
    key = (looked.passes, looked.graph_digest, looked.steps + steps)
    made = maker.known.get(key)
    if made is None:
        made = maker.known[key] = _made(*key, maker)
    if not (sent.prepared or sent.reused):
        return made
    told = pb.Provenance(forward_pass_reused=sent.reused)
    if sent.prepared:
        told.preprocessing.CopyFrom(sent.prepared.message())
        told.preprocessing_assumed = maker.wording.preprocessing is None
    told.MergeFrom(made)
    return told


def _made(passes: Passes, graph_digest: str, steps: tuple[str, ...], maker: Maker) -> pb.Provenance:
    wording, computed, arithmetic = maker.wording, maker.computed, maker.arithmetic
    made = pb.Provenance(
        model_digest=wording.model,
        graph_digest=graph_digest,
        execution_provider=computed.provider,
        device=computed.device,
        execution=computed.message(),
        versions=maker.versions,
        profile=wording.profile,
        steps=steps,
        forward_passes=passes.forward,
        backward_passes=passes.backward,
        head_passes=passes.head,
        arithmetic=pb.Arithmetic(quantised=arithmetic.quantised, rewritten=arithmetic.rewritten),
    )
    parameters = {name: in_words(value) for name, value in wording.parameters.items()}
    if parameters:
        made.parameters.update({name: list(v) if isinstance(v, tuple) else v for name, v in parameters.items()})
    return made
