"""Which questions share a run. `order` is that of Turns, `batch` how many images go into one run at most."""

from collections.abc import Iterable, Sequence

from backlit_server.workers.turns import Question


def first(order: Sequence[Question], batch: int) -> Question:
    """Whose turn it is; before a run with room for more, those who have not said yet what they wait for."""
    if order[0].waiting is None or full(order, batch):
        return order[0]
    return next((question for question in order if not question.opened), order[0])


def together(leader: Question, order: Sequence[Question], batch: int) -> Sequence[Question]:
    """Who shares the run that is made for a question. Audits are no company for those who are in a hurry."""
    found = [leader]
    if leader.waiting is None or len(order) == 1:
        return found
    room, alike = min(batch, leader.waiting.most) - leader.waiting.images, _alike(leader)
    for other in order:
        if other is leader or other.waiting is None or other.waiting.images > room or _alike(other) != alike:
            continue
        found.append(other)
        room -= other.waiting.images
    return found


def _alike(question: Question) -> object:
    return question.terms.priority, question.waiting and question.waiting.kind


def full(order: Sequence[Question], batch: int) -> bool:
    """Whether as many images wait as go into a run."""
    most = [question.waiting.most for question in order if question.waiting is not None]
    return images(order) >= min([batch, *most])


def images(questions: Iterable[Question]) -> int:
    """How many wait for a pass."""
    return sum(question.waiting.images for question in questions if question.waiting is not None)
