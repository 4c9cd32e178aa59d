"""How an answer was made, as it is told."""

import functools
from copy import deepcopy
from dataclasses import dataclass, replace

from google.protobuf.json_format import MessageToDict

from backlit.card import Arithmetic
from backlit.devices import Execution
from backlit.preprocessing import Preprocessing
from backlit.selfcheck import SelfCheck, read_self_check
from backlit_proto import backlit_pb2 as pb

REMEMBERED = 64  # provenances


@dataclass(frozen=True)
class Provenance:
    """How an answer was made: the same provenance and input give the same heatmap.

    `execution_provider` is the one that was really used, `steps` what was done to the raw map. This image took so many
    `forward_passes` of the whole network, `backward_passes` from the scores to the image, and `head_passes` from the
    layer to the scores, the latter two one a target. `preprocessing` is None unless the server prepared a picture, and
    `preprocessing_assumed` says that nobody declared it for this model. `self_check` is that of the model,
    `arithmetic` that of the card. `forward_pass_reused`: an earlier question had made the forward pass of this image.
    `device` and `execution` say what computed it and how.
    """

    model_digest: str
    graph_digest: str
    execution_provider: str
    versions: dict[str, str]
    parameters: dict[str, object]
    profile: str
    steps: tuple[str, ...]
    forward_passes: float
    backward_passes: float
    head_passes: float
    preprocessing: Preprocessing | None
    preprocessing_assumed: bool
    arithmetic: Arithmetic
    device: str
    execution: Execution
    self_check: SelfCheck | None = None
    forward_pass_reused: bool = False


def read_provenance(message: pb.Provenance) -> Provenance:
    """From the wire; what a caller may change is his own."""
    known = _known(message.SerializeToString())
    return replace(known, versions=dict(known.versions), parameters=deepcopy(known.parameters))


@functools.lru_cache(REMEMBERED)
def _known(data: bytes) -> Provenance:
    """Read once for all answers that were made alike."""
    message = pb.Provenance.FromString(data)
    prepared = message.HasField("preprocessing")
    return Provenance(
        model_digest=message.model_digest,
        graph_digest=message.graph_digest,
        execution_provider=message.execution_provider,
        versions=dict(message.versions),
        parameters=MessageToDict(message.parameters),
        profile=message.profile,
        steps=tuple(message.steps),
        forward_passes=message.forward_passes,
        backward_passes=message.backward_passes,
        head_passes=message.head_passes,
        preprocessing=Preprocessing.read(message.preprocessing) if prepared else None,
        preprocessing_assumed=message.preprocessing_assumed,
        self_check=read_self_check(message),
        forward_pass_reused=message.forward_pass_reused,
        arithmetic=Arithmetic.read(message.arithmetic),
        device=message.device,
        execution=Execution.read(message.execution),
    )
