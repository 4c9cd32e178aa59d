"""The store: a model is there whole or not at all, whatever dies when."""

from pathlib import Path

import pytest

from backlit_proto.errors import (
    BadUpload,
    Busy,
    Overloaded,
    WrongOffset,
)
from backlit_server.store import Store
from stocked import BYTES, DIGEST, MB, add, begun, leftovers


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", 100 * MB)
    opened.open()
    return opened


def test_an_admitted_model_is_there_after_a_restart_with_its_card_and_its_bytes(store):
    add(store, BYTES, seconds=7)
    again = Store(store.root, MB)
    again.open()
    model = again.get(again.resolve(DIGEST))
    assert (model.digest, model.size, model.card.opset, model.uploaded.seconds) == (DIGEST, len(BYTES), 21, 7)
    assert again.verify(DIGEST).read_bytes() == BYTES
    assert leftovers(again) == []


def test_a_model_is_invisible_until_it_is_admitted(store):
    upload = begun(store, BYTES)
    upload.append(BYTES)
    upload.finish()
    upload.close()
    assert not store.has(DIGEST)
    assert store.models(0, "") == ([], "")
    assert store.committed(DIGEST) == len(BYTES)


def test_the_same_bytes_twice_are_one_model(store):
    assert add(store, BYTES) == add(store, BYTES)
    assert len(store.models(0, "")[0]) == 1
    assert leftovers(store) == []


def test_a_broken_upload_goes_on_where_it_stopped(store):
    with_a_break = begun(store, BYTES)
    with_a_break.append(BYTES[:1000])
    with_a_break.close()
    upload = begun(store, BYTES, offset=1000)
    upload.append(BYTES[1000:])
    assert upload.finish().read_bytes() == BYTES
    upload.close()


def test_an_upload_at_the_wrong_offset_is_told_the_right_one(store):
    first = begun(store, BYTES)
    first.append(BYTES[:10])
    first.close()
    with pytest.raises(WrongOffset, match="10 bytes") as refusal:
        begun(store, BYTES, offset=20)
    assert refusal.value.details == {"committed": "10"}


def test_two_uploads_of_one_model_at_once_do_not_mix(store):
    first = begun(store, BYTES)
    with pytest.raises(Busy, match="uploaded by somebody else"):
        begun(store, BYTES)
    first.close()
    begun(store, BYTES).close()


def test_an_upload_does_not_fall_for_a_part_that_was_moved_away_meanwhile(store):
    waiting = store.upload(DIGEST, len(BYTES))
    add(store, BYTES)
    waiting.begin(0)
    waiting.append(BYTES)
    waiting.finish()
    waiting.close()
    assert store.verify(DIGEST).read_bytes() == BYTES


def test_a_short_upload_is_refused_and_kept(store):
    upload = begun(store, BYTES)
    upload.append(BYTES[:10])
    with pytest.raises(BadUpload, match="10 of 3800 bytes"):
        upload.finish()
    upload.close()
    assert store.committed(DIGEST) == 10


def test_more_bytes_than_declared_are_refused(store):
    upload = begun(store, BYTES)
    with pytest.raises(BadUpload, match="more bytes than the 3800 declared"):
        upload.append(BYTES + b"!")
    upload.close()


def test_wrong_bytes_are_refused_and_dropped(store):
    upload = begun(store, BYTES)
    upload.append(BYTES[::-1])
    with pytest.raises(BadUpload, match="as declared"):
        upload.finish()
    upload.close()
    assert leftovers(store) == []


def test_a_part_longer_than_declared_is_dropped(store):
    upload = begun(store, BYTES)
    upload.append(BYTES)
    upload.close()
    shorter = store.upload(DIGEST, 5)
    with pytest.raises(BadUpload, match="more than the 5 declared"):
        shorter.begin(5)
    shorter.close()
    assert leftovers(store) == []


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", DIGEST[:-1], DIGEST.upper(), DIGEST + "0"])
def test_only_a_digest_can_be_uploaded(store, digest):
    with pytest.raises(BadUpload, match="not a SHA-256"):
        store.upload(digest, 5)


def test_a_full_store_refuses_with_figures_and_takes_bytes_again_after_a_delete(tmp_path):
    store = Store(tmp_path, 2 * MB)
    store.open()
    first = add(store, bytes(MB))
    with pytest.raises(Overloaded, match=r"room for 1\.0 MB and this upload needs 1\.5 MB"):
        begun(store, b"!" * (MB + MB // 2))
    assert leftovers(store) == []
    store.delete(first)
    begun(store, b"!" * (MB + MB // 2)).close()
