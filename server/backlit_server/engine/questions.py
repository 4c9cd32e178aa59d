"""A question as the engine understands it: decoded and checked as far as that is possible without the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import json_format

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import tensors_in, to_array
from backlit_server.engine.rendering import Rendering, read_rendering
from backlit_server.methods import DEFAULT_METHOD, bind

DEFAULT_PROFILE = "paper"
PROFILES = (DEFAULT_PROFILE,)

Wanted = int | str | np.ndarray
"""A class index, "top5" and the like, or a seed."""


@dataclass(frozen=True)
class Question:
    """What is asked of one batch of images, given as the model's inputs or as pictures."""

    model: str
    method: str
    parameters: Mapping[str, Any]
    targets: tuple[Wanted, ...]
    layer: str
    profile: str
    rendering: Rendering
    inputs: Mapping[str, np.ndarray]
    pictures: tuple[bytes | np.ndarray, ...]
    preprocessing: pb.Preprocessing | None


def read_question(request: pb.ExplainRequest, tensors: Sequence[np.ndarray]) -> Question:
    """The question in a request whose tensors' bytes travelled apart, in the order of tensors_in."""
    # The messages are kept in a list: their identity is the key, so they must stay alive.
    messages = list(tensors_in(request))
    arrays = {
        id(message): to_array(message, array.reshape(-1).view(np.uint8).data)
        for message, array in zip(messages, tensors, strict=True)
    }
    asked = request.question
    method = asked.method or DEFAULT_METHOD
    profile = asked.profile or DEFAULT_PROFILE
    if profile not in PROFILES:
        raise BadQuestion(f"there is no profile {profile!r}; there are {', '.join(PROFILES)}")
    if bool(request.inputs) == bool(request.pictures):
        raise BadQuestion("send either inputs (tensors) or pictures, and not none of them")
    return Question(
        model=asked.model,
        method=method,
        parameters=bind(method, json_format.MessageToDict(asked.parameters) if asked.parameters.fields else {}),
        targets=tuple(_wanted(t, arrays) for t in asked.targets) or ("top1",),
        layer=asked.layer,
        profile=profile,
        rendering=read_rendering(asked.rendering),
        inputs={name: arrays[id(tensor)] for name, tensor in request.inputs.items()},
        pictures=tuple(p.file if p.WhichOneof("form") == "file" else arrays[id(p.pixels)] for p in request.pictures),
        preprocessing=asked.preprocessing if asked.HasField("preprocessing") else None,
    )


def _wanted(target: pb.Target, arrays: Mapping[int, np.ndarray]) -> Wanted:
    kind = target.WhichOneof("kind")
    if kind == "class_index":
        return target.class_index
    if kind == "top":
        if target.top == 0:
            raise BadQuestion("the top 0 classes: ask for at least 1")
        return f"top{target.top}"
    if kind == "seed":
        return arrays[id(target.seed)]
    raise BadQuestion("a target is a class index, a class name of a model that has class names, top k, or a seed")
