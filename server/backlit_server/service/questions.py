"""A question as a caller writes it, made into one a worker can answer: digest, class indices, preprocessing."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.admission.mismatch import mismatch
from backlit_server.methods import DEFAULT_METHOD, method
from backlit_server.store import Store

CLASS = re.compile(r"\bclass (\d+)\b")  # in a description of the engine's


@dataclass(frozen=True)
class Resolved:
    """What the answers need to know about the model that was asked."""

    digest: str
    method: str
    model: pb.Model


def resolve(request: pb.ExplainRequest, store: Store) -> Resolved:
    """Changes the request in place; what is unknown about the model is refused here."""
    question = request.question
    question.model = store.resolve(question.model)
    model = store.known(question.model)
    for said in _classes(question.targets):
        if said.class_name:
            said.class_index = class_index(said.class_name, model.class_names)
    if model.HasField("preprocessing") and not question.HasField("preprocessing"):
        question.preprocessing.CopyFrom(model.preprocessing)
    names = (question.method or DEFAULT_METHOD, *question.methods)
    for name in names:
        check_gradients(name, model)
    return Resolved(question.model, " ".join(names), model)


def check_gradients(name: str, model: pb.Model) -> None:
    """NotDifferentiable where a method would show gradients that failed the model's self-check."""
    refusal = mismatch(model.card.self_check)
    if refusal and method(name).needs_gradients:
        raise refusal


def _classes(targets: Iterable[pb.Target]) -> Iterator[pb.Target | pb.BoxTarget | pb.MaskTarget]:
    """Every message in which a class can be named; asking for a field that is not set sets nothing."""
    for target in targets:
        yield from (target, target.box, target.mask)
        yield from _classes(_inside(target))


def _inside(target: pb.Target) -> Iterator[pb.Target]:
    """The targets that a target is made of."""
    yield from (term.target for term in target.combination.terms)
    for holder, name in ((target, "counterfactual"), (target.contrast, "target"), (target.contrast, "foil")):
        if holder.HasField(name):
            yield getattr(holder, name)


def class_index(name: str, class_names: Sequence[str]) -> int:
    """The class of this name, by its exact spelling or else in any case; BadQuestion names the close ones."""
    if not class_names:
        raise BadQuestion(
            f"this model has no class names, so no class {name[:100]!r}: set them with Update, or ask by class_index"
        )
    folded = name.casefold()
    found = [i for i, n in enumerate(class_names) if n == name] or [
        i for i, n in enumerate(class_names) if n.casefold() == folded
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadQuestion(f"the classes {', '.join(map(str, found[:10]))} are all called {name!r}: ask by class_index")
    near = difflib.get_close_matches(name, class_names, n=5, cutoff=0.5) or [*class_names[:5], "..."]
    raise BadQuestion(f"this model has no class {name[:100]!r}; there are {', '.join(near)}")


def completed(answer: pb.ExplainResponse, model: pb.Model) -> pb.ExplainResponse:
    """The answer with what only the store knows: the names of its classes, and how far its gradients can be trusted."""
    class_names = model.class_names
    if model.card.HasField("self_check"):
        answer.provenance.self_check.CopyFrom(model.card.self_check)
    for explanation in answer.explanations:
        target = explanation.target
        if 0 <= target.class_index < len(class_names):
            target.class_name = class_names[target.class_index]
        told = explanation.classes
        if class_names and explanation.HasField("classes"):
            told.names.extend(class_names[told.first : told.first + told.scores.shape[0]])
        target.description = CLASS.sub(lambda found: _named(found, class_names), target.description)
    return answer


def _named(found: re.Match[str], class_names: Sequence[str]) -> str:
    """A class in a description, its name behind its index."""
    index = int(found[1])
    return f"{found[0]} ({class_names[index]})" if index < len(class_names) else found[0]
