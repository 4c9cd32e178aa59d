"""The store: a model is there whole or not at all, whatever dies when."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import (
    BacklitError,
    BadQuestion,
    BadUpload,
    Busy,
    CorruptModel,
    Overloaded,
    UnknownModel,
    WrongOffset,
)
from backlit_server.store import Store, Upload

MB = 1024 * 1024
BYTES = b"a model, as far as the store can tell " * 100
DIGEST = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", 100 * MB)
    opened.open()
    return opened


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
    upload = begun(store, data)
    upload.append(data)
    upload.finish()
    model = pb.Model(digest=upload.digest, size=len(data), card=pb.Card(opset=21), class_names=["cat", "dog"])
    model.uploaded.FromSeconds(seconds)
    store.admit(upload, model)
    upload.close()
    return upload.digest


def leftovers(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "uploads").iterdir())


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


def test_a_full_disk_refuses_and_leaves_the_models_as_they_are(store):
    """RLIMIT_FSIZE stands in for the disk: the system refuses to write past it."""
    add(store, BYTES)
    script = """
        import hashlib, resource, sys
        from pathlib import Path
        from backlit_proto.errors import Overloaded
        from backlit_server.store import Store
        store = Store(Path(sys.argv[1]), 10 ** 9)
        store.open()
        upload = store.upload(hashlib.sha256(bytes(200_000)).hexdigest(), 200_000)
        upload.begin(0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            upload.append(bytes(200_000))
        except Overloaded as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        upload.close()
        upload = store.upload(upload.digest, 200_000)
        upload.begin(store.committed(upload.digest))
        upload.append(bytes(200_000 - upload.committed))
        upload.finish()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), store.root], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "disk is full" in done.stdout
    assert store.verify(DIGEST).read_bytes() == BYTES


# ------------------------------------------------------------------- names


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


# -------------------------------------------------------- lists and changes


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


# --------------------------------------------------------------- corruption


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


# ---------------------------------------------------------- crashes, failures

# What is done to the store, and the step after which it fails or dies. One process forks a child for each step: the
# child dies (or sees an error) at that step, the parent opens the store anew and tells what it finds, one line each.
ANOMALY = """
    import errno, hashlib, os, shutil, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    from test_store import add, begun, leftovers
    from backlit_proto.errors import BacklitError, UnknownModel
    from backlit_server.store import Store
    root, action, how = Path(sys.argv[1]), sys.argv[2], sys.argv[4]
    OLD, NEW = b"old " * 1000, b"new " * 1000
    old, new = (hashlib.sha256(b).hexdigest() for b in (OLD, NEW))
    STEPS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "close")

    def fail_at(step):
        left = [step]
        def counted(real):
            def call(*arguments, **keywords):
                left[0] -= 1
                if left[0] == 0:
                    if how == "dies":
                        os._exit(9)
                    raise OSError(errno.ENOSPC if how == "disk full" else errno.EIO, "injected")
                return real(*arguments, **keywords)
            return call
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        return left

    def upload(store):
        arriving = begun(store, NEW, store.committed(new))
        arriving.append(NEW[arriving.committed:])
        arriving.close()
        add_rest(store)

    def add_rest(store):
        from backlit_proto import backlit_pb2 as pb
        again = begun(store, NEW, store.committed(new))
        again.finish()
        store.admit(again, pb.Model(digest=new, size=len(NEW)))
        again.close()

    ACTIONS = {
        "upload": upload,
        "rename": lambda store: store.name(old, "second"),
        "delete": lambda store: store.delete(old),
        "update": lambda store: store.update(old, lambda model: model.class_names.append("cow")),
    }

    def state(store):
        names = sorted(p.name for p in (store.root / "names").iterdir())
        models = [m.digest for m in store.models(0, "")[0]]
        for digest in models:
            store.verify(digest)
        rows = [("old" if d == old else "new", store.get(d).name, len(store.get(d).class_names)) for d in models]
        return f"{sorted(rows)} {names}"

    for step in range(1, 200):
        shutil.rmtree(root, ignore_errors=True)
        store = Store(root, 10 ** 9)
        store.open()
        add(store, OLD)
        store.name(old, "first")
        child = os.fork()
        if child == 0:
            left = fail_at(step)
            try:
                ACTIONS[action](store)
            except (BacklitError, OSError):
                os._exit(3)
            os._exit(0 if left[0] > 0 else 4)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        store = Store(root, 10 ** 9)
        store.open()
        print(status, state(store), [n for n in leftovers(store) if not n.endswith(".part")], sep="|", flush=True)
        if action == "upload" and not store.has(new):
            upload(store)
            assert store.has(new)
        if status == 0:
            break
"""

BEFORE = "[('old', 'first', 2)] ['first']"
AFTER = {
    "upload": "[('new', '', 0), ('old', 'first', 2)] ['first']",
    "rename": "[('old', 'second', 2)] ['second']",
    "delete": "[] []",
    "update": "[('old', 'first', 3)] ['first']",
}


@pytest.mark.parametrize("how", ["dies", "disk full", "disk error"])
@pytest.mark.parametrize("action", AFTER)
def test_a_step_that_fails_leaves_the_store_as_before_or_as_after_and_never_between(tmp_path, action, how):
    arguments = [tmp_path / "store", action, Path(__file__).parent, how]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ANOMALY), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(rows) >= 5, "the failures were never injected"
    assert rows[-1] == ["0", AFTER[action], "[]"]
    assert {state for _, state, _ in rows} == {BEFORE, AFTER[action]}
    assert {left for _, _, left in rows} == {"[]"}


UPLOADING = """
    import hashlib, sys
    from pathlib import Path
    from backlit_proto import backlit_pb2 as pb
    from backlit_server.store import Store
    store = Store(Path(sys.argv[1]), 10 ** 9)
    store.open()
    for number in range(1000):
        data = number.to_bytes(4, "big") * 50_000
        digest = hashlib.sha256(data).hexdigest()
        upload = store.upload(digest, len(data))
        upload.begin(store.committed(digest))
        for start in range(upload.committed, len(data), 20_000):
            upload.append(data[start:start + 20_000])
        upload.finish()
        store.admit(upload, pb.Model(digest=digest, size=len(data)))
        upload.close()
        print(digest, flush=True)
"""


@pytest.mark.parametrize("answers", range(6))
def test_kill_9_loses_no_answered_upload_and_shows_no_broken_one(tmp_path, answers):
    """Killed at a moment nobody chose, while the upload after the n-th answer is under way."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(UPLOADING), tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    with process, process.stdout:
        answered = [process.stdout.readline().strip() for _ in range(answers + 1)]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.read().split()
    store = Store(tmp_path, 10**9)
    store.open()
    found = [model.digest for model in store.models(0, "")[0]]
    for digest in found:
        store.verify(digest)
    assert set(answered) <= set(found)
    assert len(found) <= len(answered) + 1
    assert all(name.endswith(".part") for name in leftovers(store))


def test_a_resumed_upload_after_kill_9_has_the_right_bytes(tmp_path):
    script = """
        import signal, sys
        from pathlib import Path
        from backlit_server.store import Store
        store = Store(Path(sys.argv[1]), 10 ** 9)
        store.open()
        upload = store.upload(sys.argv[2], int(sys.argv[3]))
        upload.begin(0)
        data = sys.stdin.buffer.read()
        for start in range(0, len(data), 100):
            upload.append(data[start:start + 100])
        print("sent", flush=True)
        sys.stdin.close()
        signal.pause()
    """
    arguments = [tmp_path, DIGEST, str(len(BYTES))]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    with process, process.stdin as stdin:
        stdin.write(BYTES[:1234])
        stdin.close()
        assert process.stdout.readline() == b"sent\n"
        process.kill()
    store = Store(tmp_path, 10**9)
    store.open()
    assert store.committed(DIGEST) == 1234
    upload = begun(store, BYTES, offset=1234)
    upload.append(BYTES[1234:])
    assert upload.finish().read_bytes() == BYTES
    upload.close()


def test_a_second_process_does_not_sweep_away_what_the_first_is_uploading(store):
    upload = begun(store, BYTES)
    upload.append(BYTES[:100])
    Store(store.root, MB).open()
    upload.append(BYTES[100:])
    assert upload.finish().read_bytes() == BYTES
    upload.close()


def test_a_part_that_nobody_goes_on_with_is_swept_after_a_week(store):
    upload = begun(store, BYTES)
    upload.append(BYTES[:100])
    upload.close()
    week_ago = upload.part.stat().st_mtime - 8 * 24 * 3600
    os.utime(upload.part, (week_ago, week_ago))
    store.open()
    assert leftovers(store) == []
