"""What people say about a model's classes, checked before it is stored."""

import math

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion

MOST_CLASSES = 100_000


def check_class_names(count: int, card: pb.Card) -> None:
    """BadQuestion when the number of names is not that of the classes, as far as the file tells it."""
    if count > MOST_CLASSES:
        raise BadQuestion(f"{count} class names: {MOST_CLASSES} at most")
    sizes = list(card.scores.tensor.shape)[1:]
    if not count or not sizes or any(size <= 0 for size in sizes):
        return
    scores = math.prod(sizes)
    # One score behind a sigmoid stands for two classes.
    valid = (1, 2) if scores == 1 else (scores,)
    if count not in valid:
        raise BadQuestion(
            f"the model has {scores} classes and {count} class names were given; give one a class, in order"
        )


def complete_export(request: pb.ExportRequest, model: pb.Model) -> None:
    """Says how the pictures that an export takes are prepared; BadQuestion where nobody has said it."""
    if not request.HasField("pictures") or request.pictures.ListFields():
        return
    if not model.HasField("preprocessing"):
        raise BadQuestion(
            "nobody has said how pictures are prepared for this model, so no file can do it: declare it with Update, "
            "or in the export's own field"
        )
    request.pictures.CopyFrom(model.preprocessing)
