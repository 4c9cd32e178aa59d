"""Uploads into a store, in one step, for tests."""

import hashlib

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import (
    BacklitError,
)
from backlit_server.store import Store, Upload

MB = 1024 * 1024
BYTES = b"a model, as far as the store can tell " * 100
DIGEST = hashlib.sha256(BYTES).hexdigest()


def begun(store: Store, data: bytes, offset: int = 0) -> Upload:
    upload = store.upload(hashlib.sha256(data).hexdigest(), len(data))
    try:
        upload.begin(offset)
    except BacklitError:
        upload.close()
        raise
    return upload


def add(store: Store, data: bytes, seconds: int = 0) -> str:
    """Uploads and admits; `seconds` is the time of the upload."""
    upload = begun(store, data, store.committed(hashlib.sha256(data).hexdigest()))
    upload.append(data[upload.committed :])
    upload.finish()
    model = pb.Model(digest=upload.digest, size=len(data), card=pb.Card(opset=21), class_names=["cat", "dog"])
    model.uploaded.FromSeconds(seconds)
    store.admit(upload, model)
    upload.close()
    return upload.digest


def leftovers(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "uploads").iterdir())
