"""The questions that nobody asked: each model that is to be ready answers one before its first caller comes."""

import logging
from collections.abc import Callable, Generator, Iterator

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError
from backlit_proto.tensors import tensors_in, to_array, to_tensor
from backlit_server.engine.opening import Models
from backlit_server.engine.trial import sample
from backlit_server.methods import DEFAULT_METHOD

Explain = Callable[..., Generator]

log = logging.getLogger(__name__)


def warm_up(models: Models, explain: Explain, preload: int | str) -> Iterator[None]:
    """Opens so many models, or these, one a step, as far as half of the budget goes; what one refuses stops no other.

    The one used last comes first among those who wait, and its sessions, arena and pages are as its callers left them.
    """
    for digest in models.preloaded(preload):
        if models.budget.used > models.budget.limit // 2:
            log.info("the model %s and those behind it wait for a question: half of the memory is taken", digest[:12])
            return
        try:
            for _ in explain(*question(models, digest)):
                yield
        except BacklitError as error:
            log.info("the model %s is not opened yet: %s", digest[:12], error)
        yield


def question(models: Models, digest: str) -> tuple[pb.ExplainRequest, list]:
    """The default method about a made-up image."""
    inputs = {name: to_tensor(array) for name, array in sample(models.get(digest).anatomy, 1, seed=0).items()}
    asked = pb.Question(model=digest, method=DEFAULT_METHOD, targets=[pb.Target(top=1)])
    request = pb.ExplainRequest(question=asked, inputs=inputs)
    return request, [to_array(tensor) for tensor in tensors_in(request)]
