"""From keyword arguments to one ExplainRequest.

method          a name, or several, which share the forward pass: images outer, then methods, then targets
target          None (the top class), a class index or name, a list of these, "top5", or an array of seeds
layer           a tensor or node name of the card; None is the default layer
layers          several of them instead: their maps become one, each scaled to 0..1 and resized to the largest
fuse            how: "mean", "max", "product", or "tanh-max", which lifts shallow layers; None is the profile's
smoothing       "eigen": the weighted maps are seen from their first direction instead of summed; "augmentation": the
                mean over six versions of the image, flipped and not, darker and brighter; or both in a list
scores          a tensor of the model to explain instead of the card's scores; None are those
boxes           how a detector writes its boxes: "xyxy", "yxyx", "cxcywh", "xywh", with "-pixels" or "-normalized"
                behind it or not; what is not said is read off the boxes
profile         whose conventions hold for all that is not said: "paper", the methods' own papers, by which maps come as
                they were computed, at the layer's size; or a library's (`server.profiles()` lists them)
size            "layer", "input" or (height, width); None is the profile's
relu            negative values become 0; None is as the profile has it
normalize       True: the smallest value becomes 0, the largest 1; "each": those of each channel; (low, high): these
                two; None is as the profile has it
dtype           "float32", "float16", or "uint8" (0 to 255, needs normalize); None is the profile's
preprocessing   overrides the model's own for the pictures of this question
measures        what is measured of each final heatmap: names, or pairs of a name and its parameters
time_limit      seconds after which a method of many passes answers with what it knows, its status "PARTIAL"; half of
                them where measures are asked for too, of which those that come too late are `unfinished`
precision       "half": forward passes up to the layer, where the model carries it; "single"; None is the server's
priority        whose turn comes first on a busy server: "interactive", or "audit", which takes the time that others
                leave; None is interactive, of `explain_many` audit
anything else   a parameter of the method; arrays of several axes travel as they are
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.struct_pb2 import Struct

from backlit.endpoint import LARGEST_MESSAGE
from backlit.inputs import encode_inputs
from backlit.measures import Asked, encode_measures
from backlit.models import StoredModel
from backlit.preprocessing import Declared, declared
from backlit.specs import TensorSpec
from backlit.targets import encode_targets, scale_of
from backlit.words import choice, full_name
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_tensor

SIZES = {"layer": pb.Rendering.SIZE_LAYER, "input": pb.Rendering.SIZE_INPUT}
DTYPES = {"float32": pb.DATA_TYPE_FLOAT32, "float16": pb.DATA_TYPE_FLOAT16, "uint8": pb.DATA_TYPE_UINT8}


def explain_request(
    model: StoredModel,
    inputs: object,
    method: str | Sequence[str] = "grad-cam",
    *,
    target: object = None,
    layer: str | None = None,
    size: str | tuple[int, int] | None = None,
    normalize: bool | str | tuple[float, float] | None = None,
    profile: str = "paper",
    relu: bool | None = None,
    dtype: str | None = None,
    preprocessing: Declared | None = None,
    scores: str | None = None,
    boxes: str | None = None,
    layers: Sequence[str] = (),
    fuse: str | None = None,
    smoothing: str | Sequence[str] = (),
    time_limit: float | None = None,
    measures: Iterable[Asked] = (),
    precision: str | None = None,
    priority: str | None = None,
    **parameters: object,
) -> pb.ExplainRequest:
    """The question as it travels; BadQuestion where the arguments make no sense whatever the server."""
    first, *others = _methods(method)
    arrays = {name: v for name, v in parameters.items() if isinstance(v, np.ndarray) and v.ndim > 1}
    question = pb.Question(
        model=model.digest,
        method=first,
        methods=others,
        parameters=_struct({name: value for name, value in parameters.items() if name not in arrays}),
        arrays={name: to_tensor(array) for name, array in arrays.items()},
        targets=encode_targets(target, _spec(model, scores)),
        layer=layer or "",
        profile=profile,
        rendering=_rendering(size, relu, normalize, dtype),
        preprocessing=declared(preprocessing),
        scores=scores or "",
        scale=full_name(pb.Question.Scale, scale_of(target).replace("-", "_"), "scale"),
        box_convention=_convention(boxes) if boxes else None,
        time_limit=_seconds(time_limit),
        layers=layers,
        fusion=full_name(pb.Question.Fusion, (fuse or "").replace("-", "_"), "fuse"),
        smoothing=_smoothing(smoothing),
        measures=encode_measures(measures),
        precision=full_name(pb.Precision, precision or "", "precision"),
        priority=full_name(pb.Question.Priority, priority or "", "priority"),
    )
    return _complete(question, encode_inputs(inputs, model.card.inputs))


def _methods(method: str | Sequence[str]) -> Sequence[str]:
    if not method:
        raise BadQuestion("method is empty; leave it out for grad-cam")
    return (method,) if isinstance(method, str) else method


def _spec(model: StoredModel, scores: str | None) -> TensorSpec:
    """What is known of the tensor to explain: of one that the card does not list, nothing."""
    listed = (model.card.scores, *model.card.score_candidates)
    known = {one.tensor.name: one.tensor for one in listed}
    return known.get(scores, TensorSpec(scores, "float32", ())) if scores else model.card.scores.tensor


def _smoothing(words: str | Sequence[str]) -> list[str]:
    given = [words] if isinstance(words, str) else words
    return [full_name(pb.Question.Smoothing, word, "smoothing") for word in given]


def _convention(boxes: str) -> pb.BoxConvention:
    box_format, _, units = boxes.partition("-")
    return pb.BoxConvention(
        format=full_name(pb.BoxConvention.Format, box_format, "boxes"),
        units=full_name(pb.BoxConvention.Units, units, "units of boxes"),
    )


def _complete(question: pb.Question, request: pb.ExplainRequest) -> pb.ExplainRequest:
    """The inputs with their question, unless they are more than a message can hold."""
    request.question.CopyFrom(question)
    if request.ByteSize() <= LARGEST_MESSAGE:
        return request
    raise BadQuestion(
        f"the question is {request.ByteSize() / 2**20:.0f} MB, one message holds {LARGEST_MESSAGE // 2**20}; "
        "ask for fewer images at a time, or use explain_many"
    )


def _struct(parameters: Mapping[str, object]) -> Struct:
    struct = Struct()
    struct.update({name: plain(name, value) for name, value in parameters.items()})
    return struct


def plain(name: str, value: object) -> Any:  # JSON
    """A parameter as JSON has it: numpy's numbers and arrays as numbers and lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple | range):
        return [plain(name, item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(name, item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadQuestion(
        f"parameter {name} is of type {type(value).__name__}; numbers, strings, lists and dicts can be sent"
    )


def _seconds(time_limit: float | None) -> float:
    if time_limit is not None and not time_limit > 0:
        raise BadQuestion(f"time_limit is a positive number of seconds, or None; got {time_limit!r}")
    return time_limit or 0


def _rendering(size: object, relu: bool | None, normalize: object, dtype: Any) -> pb.Rendering:  # Any: np.dtype's
    """What was said; the rest stays unset, for the profile to say."""
    finish = pb.Rendering(relu=relu)
    finish.MergeFrom(_normalization(normalize))
    if dtype is not None:
        finish.data_type = choice(DTYPES, _dtype_name(dtype), "dtype")
    if isinstance(size, str):
        finish.size = choice(SIZES, size, "size")
    elif size is not None:
        finish.size = pb.Rendering.SIZE_EXPLICIT
        finish.height, finish.width = _height_width(size)
    return finish


def _normalization(normalize: object) -> pb.Rendering:
    """What is said of it alone."""
    if normalize is None:
        return pb.Rendering()
    if isinstance(normalize, list | tuple) and len(normalize) == 2:
        return pb.Rendering(normalize=True, value_range={"low": float(normalize[0]), "high": float(normalize[1])})
    if not isinstance(normalize, bool | np.bool_) and normalize != "each":
        raise BadQuestion(f"normalize is True, False, 'each' or (low, high); got {normalize!r}")
    return pb.Rendering(normalize=bool(normalize), each_channel=normalize == "each")


def _dtype_name(dtype: Any) -> str:  # whatever np.dtype takes
    try:
        return np.dtype(dtype).name
    except TypeError:
        return str(dtype)


def _height_width(size: object) -> tuple[int, int]:
    pair = size if isinstance(size, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in pair):
        raise BadQuestion(f"size is 'layer', 'input' or (height, width); got {size!r}")
    return int(pair[0]), int(pair[1])
