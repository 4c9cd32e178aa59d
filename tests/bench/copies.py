"""Many models in a store without examining each."""

from collections.abc import Iterator
from pathlib import Path

import onnx

from backlit_proto import backlit_pb2 as pb
from backlit_server.store import Store
from stocked import begun


def copies(store: Path, digest: str, file: Path, count: int) -> Iterator[str]:
    """The same model under further digests: another word in its metadata makes it another file."""
    record = Store(store, 1 << 40).get(digest)
    for number in range(count):
        model = onnx.load(file)
        model.metadata_props.add(key="copy", value=str(number))
        data = model.SerializeToString()
        admitted = Store(store, 1 << 40)
        admitted.open()
        upload = begun(admitted, data)
        upload.append(data)
        upload.finish()
        made = pb.Model()
        made.CopyFrom(record)
        made.digest, made.size, made.name = upload.digest, len(data), ""
        admitted.admit(upload, made)
        upload.close()
        yield upload.digest
