"""A question as the engine understands it: decoded and checked as far as that is possible without the model."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from google.protobuf import json_format

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.boxes import Convention, read_convention
from backlit_server.engine.rendering import read_rendering
from backlit_server.engine.targets import SCALES
from backlit_server.engine.versions import AS_IT_IS, AUGMENTED, Version
from backlit_server.engine.wanted import BEST, Every, Wanted, read_target
from backlit_server.execution import PRECISIONS
from backlit_server.methods import DEFAULT_METHOD
from backlit_server.methods.fusing import FUSIONS
from backlit_server.methods.measures import bind_measure
from backlit_server.methods.method import Method
from backlit_server.methods.profiles import DEFAULT_PROFILE, SCORES, Rendering, profile
from backlit_server.methods.variations import WEIGHINGS

REMEMBERED = 256  # questions
EXPLAINED = {told: scale for scale, told in SCALES.items()} | {pb.Question.SCALE_SCORE: SCORES}


@dataclass(frozen=True)
class AskedMeasure:
    """A measure by name, with all its parameters."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Wording:
    """What a question says beside its arrays. Pipelines ask in the same words again and again.

    `others` are the same words about its further methods.
    """

    model: str
    method: str
    parameters: Mapping[str, Any]
    targets: tuple[pb.Target, ...]
    layer: str
    layers: tuple[str, ...]
    fusion: str
    versions: tuple[Version, ...]
    scores: str
    scale: str
    boxes: Convention
    profile: str
    rendering: Rendering
    preprocessing: pb.Preprocessing | None
    time_limit: float
    precision: str
    measures: tuple[AskedMeasure, ...]
    others: tuple["Wording", ...]

    @functools.cached_property
    def row(self) -> Method:
        """How the method is computed."""
        return profile(self.profile).row(self.method)


@dataclass(frozen=True)
class Question:
    """What is asked of one batch of images, given as the model's inputs or as pictures."""

    wording: Wording
    targets: tuple[Wanted, ...]
    inputs: Mapping[str, np.ndarray]
    pictures: tuple[bytes | np.ndarray, ...]

    @property
    def every_class(self) -> bool:
        """Whether all classes are asked for, which nothing else then is."""
        return isinstance(self.targets[0], Every)


def read_question(request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Question:
    """The question in a request whose tensors' bytes travelled apart, in the order of tensors_in."""
    if bool(request.inputs) == bool(request.pictures):
        raise BadQuestion("send either inputs (tensors) or pictures, and not none of them")
    wording = _wording(request.question.SerializeToString())
    arrays = iter(tensors)
    targets = tuple(read_target(target, lambda _: next(arrays)) for target in wording.targets) or (BEST,)
    if len(targets) > 1 and any(isinstance(target, Every) for target in targets):
        raise BadQuestion("all classes are asked for in a question of their own: leave out the other targets")
    if wording.measures and any(isinstance(target, Every) for target in targets):
        raise BadQuestion("maps of all classes are not measured: name the classes to measure")
    given = {name: next(arrays) for name in sorted(request.question.arrays)}
    return Question(
        wording=_with_arrays(wording, given) if given else wording,
        targets=targets,
        inputs={name: next(arrays) for name in sorted(request.inputs)},
        pictures=tuple(p.file if p.WhichOneof("form") == "file" else next(arrays) for p in request.pictures),
    )


@functools.lru_cache(REMEMBERED)
def _wording(question: bytes) -> Wording:
    """What a question says, read once for all who ask in the same words."""
    asked = pb.Question.FromString(question)
    method, parameters = _smoothed(asked)
    called = asked.profile or DEFAULT_PROFILE
    conventions = profile(called)
    return Wording(
        model=asked.model,
        method=method,
        parameters=conventions.bind(method, parameters),
        targets=tuple(asked.targets),
        layer=asked.layer,
        layers=_layers(asked),
        fusion=_fusion(asked.fusion) or conventions.fusion,
        versions=_versions(asked.smoothing),
        scores=asked.scores,
        scale=EXPLAINED.get(asked.scale, conventions.explains),
        boxes=read_convention(asked.box_convention),
        profile=called,
        rendering=read_rendering(asked.rendering, conventions.finish(method)),
        preprocessing=asked.preprocessing if asked.HasField("preprocessing") else None,
        time_limit=_time_limit(asked.time_limit),
        precision=_precision(asked.precision),
        measures=tuple(_measure(one) for one in asked.measures),
        others=tuple(_wording(_about(other, asked)) for other in asked.methods),
    )


def _about(method: str, asked: pb.Question) -> bytes:
    """The same question about another method alone."""
    copy = pb.Question()
    copy.CopyFrom(asked)
    copy.method = method
    copy.ClearField("methods")
    return copy.SerializeToString()


def _smoothed(asked: pb.Question) -> tuple[str, Mapping[str, Any]]:
    """The method and its parameters; where they are smoothed by a first direction, that is a method of its own."""
    method, given = asked.method or DEFAULT_METHOD, json_format.MessageToDict(asked.parameters)
    if pb.Question.SMOOTHING_EIGEN not in asked.smoothing:
        return method, given
    if method not in WEIGHINGS:
        raise BadQuestion(
            f"eigen smoothing is for methods that weigh a layer's maps by gradients: {', '.join(WEIGHINGS)}; not for "
            f"{method}"
        )
    return "eigen-grad-cam", given | {"weights": method}


def _versions(smoothing: Sequence[int]) -> tuple[Version, ...]:
    unknown = set(smoothing) - {pb.Question.SMOOTHING_EIGEN, pb.Question.SMOOTHING_AUGMENTATION}
    if unknown:
        raise BadQuestion(f"there is no smoothing {min(unknown)}; there are eigen and augmentation")
    return AUGMENTED if pb.Question.SMOOTHING_AUGMENTATION in smoothing else AS_IT_IS


def _layers(asked: pb.Question) -> tuple[str, ...]:
    if asked.layer and asked.layers:
        raise BadQuestion(f"say either one layer or several: the question has {asked.layer!r} and {list(asked.layers)}")
    return tuple(asked.layers)


def _fusion(told: int) -> str:
    """The word for it, "" where the profile decides."""
    if told not in FUSIONS_TOLD:
        raise BadQuestion(f"there is no fusion {told}; there are {', '.join(FUSIONS)}")
    return FUSIONS_TOLD[told]


FUSIONS_TOLD: Mapping[int, str] = {
    pb.Question.FUSION_UNSPECIFIED: "",
    pb.Question.FUSION_MEAN: "mean",
    pb.Question.FUSION_MAX: "max",
    pb.Question.FUSION_PRODUCT: "product",
    pb.Question.FUSION_TANH_MAX: "tanh-max",
}


def _precision(told: int) -> str:
    """The word for it, "" where the server decides."""
    if told not in PRECISIONS_TOLD:
        raise BadQuestion(f"there is no precision {told}; there are {', '.join(PRECISIONS)}")
    return PRECISIONS_TOLD[told]


PRECISIONS_TOLD: Mapping[int, str] = {pb.PRECISION_UNSPECIFIED: "", **{told: word for word, told in PRECISIONS.items()}}


def _measure(asked: pb.MeasureRequest) -> AskedMeasure:
    return AskedMeasure(asked.name, bind_measure(asked.name, json_format.MessageToDict(asked.parameters)))


def _with_arrays(wording: Wording, given: Mapping[str, np.ndarray]) -> Wording:
    """The wording, and parameters that are arrays, whose bytes travelled apart."""
    bound = profile(wording.profile).bind(wording.method, given)
    others = tuple(_with_arrays(other, given) for other in wording.others)
    return replace(wording, parameters={**wording.parameters, **{name: bound[name] for name in given}}, others=others)


def _time_limit(seconds: float) -> float:
    """Infinity where there is none."""
    if not seconds >= 0:
        raise BadQuestion(f"a time limit of {seconds} seconds: it is a positive number, or 0 for none")
    return seconds or math.inf
