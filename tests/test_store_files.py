"""Models of several files in the store: one run of bytes, and the list of what it is made of."""

from pathlib import Path

import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BadUpload, CorruptModel
from backlit_server.engine.files import verified
from backlit_server.store import Store
from outside import joined, placed, whole
from stocked import MB

PLACES = {"w": ("weights.bin", 64), "d": ("a dense layer", 0)}
FILE = pb.File(name="w", size=3, digest="0" * 64)
MODEL = pb.File(name=parts.MODEL, size=2, digest="1" * 64)
# Lists of files, and what is wrong with them.
LISTS: dict[str, tuple[list[pb.File], str]] = {
    **{
        f"the name {name!r}": ([pb.File(name=name, size=3, digest="0" * 64), MODEL], "no name of a file beside")
        for name in ("", ".", "..", "a/b", "/etc/passwd", "..\\w", "a\nb", "a" * 256)
    },
    "a name twice": ([FILE, FILE, MODEL], "each once"),
    "no model": ([FILE], "last 'model.onnx'"),
    "the model first": ([MODEL, FILE], "last 'model.onnx'"),
    "the model twice": ([MODEL, MODEL], "last 'model.onnx'"),
    "an order of its own": ([pb.File(name="z", size=3, digest="0" * 64), FILE, MODEL], "by name"),
    "a digest in capitals": ([pb.File(name="w", size=3, digest="A" * 64), MODEL], "needs its SHA-256"),
    "an empty file": ([pb.File(name="w", size=0, digest="0" * 64), MODEL], "at least 1 byte"),
    "another size": ([FILE, pb.File(name=parts.MODEL, size=3, digest="1" * 64)], "6 bytes, not 5 as declared"),
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_of_files_that_cannot_be_is_refused(case):
    files, says = LISTS[case]
    with pytest.raises(BadUpload, match=says):
        parts.check(files, parts.digest_of(files), 5)


def test_the_digest_of_several_files_is_that_of_their_list():
    assert parts.listing([FILE, MODEL]) == f"{'0' * 64} 3 w\n{'1' * 64} 2 model.onnx\n".encode()
    with pytest.raises(BadUpload, match="not 0000"):
        parts.check([FILE, MODEL], "0" * 64, 5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", 100 * MB)
    opened.open()
    return opened


def added(store: Store, listed: list[pb.File], data: bytes, breaks: tuple[int, ...] = ()) -> str:
    """Uploads and admits, in pieces that end at `breaks`, each by an upload of its own."""
    digest = parts.digest_of(listed)
    for start, end in zip((0, *breaks), (*breaks, len(data)), strict=True):
        upload = store.upload(digest, len(data), listed)
        upload.begin(start)
        upload.append(data[start:end])
        if end == len(data):
            upload.finish()
            store.admit(upload, pb.Model(digest=digest, size=len(data), files=listed))
        upload.close()
    return digest


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_an_upload_of_several_files_goes_on_in_any_of_them(store, share):
    model = whole()
    listed, data = joined(model, placed(model, PLACES))
    digest = added(store, listed, data, (int(share * len(data)),))
    again = Store(store.root, MB)
    again.open()
    assert again.verify(digest).read_bytes() == data
    assert list(again.get(digest).files) == listed
    assert not list((store.root / "uploads").iterdir())


def test_one_wrong_byte_is_told_by_the_file_it_is_in(store):
    model = whole()
    listed, data = joined(model, placed(model, PLACES))
    upload = store.upload(parts.digest_of(listed), len(data), listed)
    upload.begin(0)
    upload.append(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(BadUpload, match="'a dense layer' have SHA-256"):
        upload.finish()
    upload.close()
    assert not list((store.root / "uploads").iterdir())


@pytest.mark.parametrize("name", ["model.onnx", "model.files"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.999])
def test_one_flipped_bit_of_any_file_is_found_by_the_store_and_by_the_worker(store, name, share):
    model = whole()
    listed, data = joined(model, placed(model, PLACES))
    digest = added(store, listed, data)
    damaged = store.path(digest).with_name(name)
    changed = bytearray(damaged.read_bytes())
    changed[int(share * len(changed))] ^= 1
    damaged.write_bytes(changed)
    with pytest.raises(CorruptModel):
        Store(store.root, MB).verify(digest)
    with pytest.raises(CorruptModel):
        verified(store.path(digest), digest)
