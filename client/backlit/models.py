"""A stored model as the client knows it: everything but the verbs, which the sync and the asyncio shell add."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypedDict

from backlit.card import Card, read_card
from backlit.preprocessing import Preprocessing
from backlit_proto import backlit_pb2 as pb


@dataclass(frozen=True)
class StoredModel:
    """A model is its bytes: `digest` (SHA-256, hex) is its identity, `name` may be ""."""

    digest: str
    name: str
    size: int
    uploaded: datetime
    preprocessing: Preprocessing | None
    card: Card = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)


class Facts(TypedDict):
    """The fields of a StoredModel."""

    digest: str
    name: str
    size: int
    uploaded: datetime
    preprocessing: Preprocessing | None
    card: Card
    class_names: tuple[str, ...]


def facts(message: pb.Model) -> Facts:
    """What the wire says of a model, to build one of."""
    return {
        "digest": message.digest,
        "name": message.name,
        "size": message.size,
        "uploaded": message.uploaded.ToDatetime(UTC),
        "preprocessing": Preprocessing.read(message.preprocessing) if message.HasField("preprocessing") else None,
        "card": read_card(message.card),
        "class_names": tuple(message.class_names),
    }


def name_of(model: StoredModel | str) -> str:
    """How a request names a model: by the digest of one we hold, or as the caller wrote it."""
    return model.digest if isinstance(model, StoredModel) else model
