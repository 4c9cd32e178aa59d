"""The store when disks fill, steps fail and processes are killed."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from backlit_server.store import Store
from stocked import BYTES, DIGEST, MB, add, begun, leftovers


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", 100 * MB)
    opened.open()
    return opened


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


# What is done to the store, and the step after which it fails or dies. One process forks a child for each step: the
# child dies (or sees an error) at that step, the parent opens the store anew and tells what it finds, one line each.
ANOMALY = """
    import errno, hashlib, os, shutil, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    from stocked import add, begun, leftovers
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

    ACTIONS = {
        "upload": lambda store: add(store, NEW),
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
            add(store, NEW)
            assert store.has(new)
        if status == 0:
            break
"""

BEFORE = "[('old', 'first', 2)] ['first']"
AFTER = {
    "upload": "[('new', '', 2), ('old', 'first', 2)] ['first']",
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


SENDING = """
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
    signal.pause()
"""


def test_a_resumed_upload_after_kill_9_has_the_right_bytes(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(SENDING), tmp_path, DIGEST, str(len(BYTES))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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
    add(store, BYTES)
    assert store.verify(DIGEST).read_bytes() == BYTES


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
