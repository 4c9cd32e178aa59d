"""The store's models: names, lists, changes, and bytes that are no longer what they were."""

from pathlib import Path

import pytest

from backlit_proto.errors import (
    BadQuestion,
    CorruptModel,
    UnknownModel,
)
from backlit_server.store import Store
from stocked import BYTES, DIGEST, MB, add


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", 100 * MB)
    opened.open()
    return opened


def test_a_model_is_found_by_name_digest_and_prefix(store):
    add(store, BYTES)
    store.name(DIGEST, "demo")
    assert {store.resolve(r) for r in ("demo", DIGEST, DIGEST[:8], DIGEST[:63])} == {DIGEST}


@pytest.mark.parametrize("reference", ["", "nobody", DIGEST[:7], "0" * 64, "0" * 8, "../names/demo", ".", "\n"])
def test_what_names_no_model_is_refused_with_a_way_out(store, reference):
    add(store, BYTES)
    store.name(DIGEST, "demo")
    with pytest.raises(BadQuestion if not reference else UnknownModel, match=r"demo|first 8"):
        store.resolve(reference)


def test_a_misspelt_name_is_told_the_close_ones(store):
    for name in ("efficientnet", "resnet", "mobilenet"):
        store.name(add(store, name.encode()), name)
    with pytest.raises(UnknownModel, match="did you mean efficientnet"):
        store.resolve("eficientnet")


def test_a_prefix_of_two_digests_is_refused(store, monkeypatch):
    monkeypatch.setattr(store, "_digests", lambda: ["ab" * 32, "ab" * 31 + "cd"])
    with pytest.raises(BadQuestion, match="begins 2 digests"):
        store.resolve("abababab")


def test_a_name_moves_to_the_model_it_is_given_to(store):
    first, second = add(store, b"1"), add(store, b"2")
    store.name(first, "demo")
    store.name(second, "demo")
    assert store.resolve("demo") == second
    assert (store.get(first).name, store.get(second).name) == ("", "demo")


def test_a_model_has_one_name_and_can_lose_it(store):
    add(store, BYTES)
    store.name(DIGEST, "old")
    store.name(DIGEST, "new")
    assert store.get(DIGEST).name == "new"
    with pytest.raises(UnknownModel, match="there are new"):
        store.resolve("old")
    store.name(DIGEST, "")
    assert store.get(DIGEST).name == ""


@pytest.mark.parametrize("name", ["a b", "a/b", "..", ".", "é", "a" * 101, "\x1b[2J", DIGEST])
def test_what_cannot_be_a_name_is_refused(store, name):
    add(store, BYTES)
    with pytest.raises(BadQuestion, match="name"):
        store.name(DIGEST, name)


def test_models_are_listed_newest_first_page_by_page_without_class_names(store):
    digests = [add(store, bytes([i]), seconds=i + 1) for i in range(5)]
    store.name(digests[4], "last")
    pages, token = [], ""
    while True:
        found, token = store.models(2, token)
        pages.append([m.digest for m in found])
        assert not any(m.class_names for m in found)
        if not token:
            break
    assert pages == [[digests[4], digests[3]], [digests[2], digests[1]], [digests[0]]]
    assert store.models(1, "")[0][0].name == "last"
    assert list(store.get(digests[0]).class_names) == ["cat", "dog"]


def test_a_model_added_or_removed_between_two_pages_repeats_and_hides_nothing(store):
    digests = [add(store, bytes([i]), seconds=i + 1) for i in range(4)]
    _, token = store.models(2, "")
    store.delete(digests[2])
    add(store, b"newer", seconds=9)
    assert [m.digest for m in store.models(2, token)[0]] == [digests[1], digests[0]]


@pytest.mark.parametrize("token", ["x", "1", "-", "1-", "\x00"])
def test_a_made_up_page_token_is_refused(store, token):
    with pytest.raises(BadQuestion, match="page token"):
        store.models(2, token)


def test_a_change_is_seen_by_another_process_at_once(store):
    add(store, BYTES)
    other = Store(store.root, MB)
    assert list(other.get(DIGEST).class_names) == ["cat", "dog"]
    store.update(DIGEST, lambda model: model.class_names.append("cow"))
    assert list(other.get(DIGEST).class_names) == ["cat", "dog", "cow"]


def test_a_deleted_model_is_gone_with_its_name(store):
    store.name(add(store, BYTES), "demo")
    store.delete(DIGEST)
    for reference in ("demo", DIGEST):
        with pytest.raises(UnknownModel, match="upload it first"):
            store.resolve(reference)
    assert not list((store.root / "names").iterdir())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_is_found_and_the_other_models_serve_on(store):
    digests = [add(store, bytes([i]) * 1000) for i in range(10)]
    for digest in digests:
        store.verify(digest)
    for digest in digests[::2]:
        flip(store.path(digest))
    store.open()
    for digest in digests[::2]:
        with pytest.raises(CorruptModel, match=digest[:16]):
            store.verify(digest)
    for digest in digests[1::2]:
        store.verify(digest)


def test_a_corrupt_model_is_healed_by_uploading_it_again(store):
    add(store, BYTES)
    flip(store.path(DIGEST))
    assert not store.sound(DIGEST)
    add(store, BYTES)
    assert store.verify(DIGEST).read_bytes() == BYTES


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"card": 3}'])
def test_a_record_that_cannot_be_read_hides_only_its_own_model(store, damage):
    add(store, BYTES)
    other = add(store, b"other")
    (store.root / "models" / DIGEST / "model.json").write_bytes(damage)
    with pytest.raises(CorruptModel, match="upload it again"):
        store.get(DIGEST)
    assert [m.digest for m in store.models(0, "")[0]] == [other]
