"""The models of one server, in a folder that several processes may share.

    models/<digest>/model.onnx   the uploaded bytes: of all files, one after the other, the model itself last
    models/<digest>/model.files  which files these are, where they are several
    models/<digest>/model.json   the Model message: card, preprocessing, class names, time
    names/<name>                 the digest it points to
    uploads/                     parts of uploads, and everything that is not finished

A folder under models/ appears and vanishes by one rename. Whatever changes the store holds its lock, so whatever
unfinished thing lies in uploads/ while the lock is free was left behind by a crash. All functions block.
"""

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BadQuestion, BadUpload, CorruptModel, UnknownModel
from backlit_server.store import durable, names, records
from backlit_server.store.upload import MB, Upload

LOG = logging.getLogger(__name__)
PREFIX = re.compile(r"[0-9a-f]{8,64}")
STALE_SECONDS = 7 * 24 * 3600  # a part nobody goes on with


class Store:
    """Finds, adds, changes and removes models; `limit` is how many bytes it may hold."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self._limit = limit
        self._models, self._names, self._uploads = root / "models", root / "names", root / "uploads"
        self._records = records.Records()
        self._sound: dict[str, tuple[records.Signature, bytes]] = {}
        self._named: tuple[int, dict[str, str]] = (0, {})

    def open(self) -> None:
        """Makes the folders where they are missing and sweeps what a crash left behind."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._models, self._names, self._uploads):
            folder.mkdir(exist_ok=True)
        with self._changing():
            for left in list(self._uploads.iterdir()):
                self._sweep(left)
            for digest in names.names(self._names):
                if not self.has(digest):
                    names.take(self._names, digest)

    def has(self, digest: str) -> bool:
        """Whether the model is here, whole."""
        return all(path.is_file() for path in records.files(self._models, digest))

    def path(self, digest: str) -> Path:
        return records.files(self._models, digest)[0]

    def resolve(self, reference: str) -> str:
        """The digest meant by a name, a digest, or its first 8 or more digits; UnknownModel tells what there is."""
        if not reference:
            raise BadQuestion("say which model: its name, its digest, or the first 8 or more digits of the digest")
        digest = reference if names.DIGEST.fullmatch(reference) else names.read(self._names, reference)
        if digest and self.has(digest):
            return digest
        found = [d for d in self._digests() if PREFIX.fullmatch(reference) and d.startswith(reference)]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadQuestion(f"{reference!r} begins {len(found)} digests: {', '.join(d[:16] for d in found[:8])}, ...")
        raise UnknownModel(f"there is no model {reference[:120]!r}; {self._hint(reference)}")

    def get(self, digest: str) -> pb.Model:
        """The model as it is told to callers."""
        model = self.described(digest)
        model.name = names.names(self._names).get(digest, "")
        return model

    def described(self, digest: str) -> pb.Model:
        """The model without its name, which takes a look at every name; the caller may change the message."""
        own = pb.Model()
        own.CopyFrom(self.known(digest))
        return own

    def known(self, digest: str) -> pb.Model:
        """As described(), but the store's own message, not to be changed: copying 1,000 class names takes a while."""
        try:
            return self._records.read(self._record(digest))
        except FileNotFoundError:
            raise UnknownModel(f"there is no model {digest[:16]!r}; {self._hint(digest)}") from None

    def name_of(self, digest: str) -> str:
        """The model's name, "" where it has none; the names are read when they have changed."""
        changed = self._names.stat().st_mtime_ns
        if changed != self._named[0]:
            self._named = changed, names.names(self._names)
        return self._named[1].get(digest, "")

    def models(self, page_size: int, page_token: str) -> tuple[list[pb.Model], str]:
        """One page, newest first, without class names, and the token of the next page."""
        named = names.names(self._names)
        found, token = records.page(self._readable(), page_size, page_token)
        for model in found:
            model.name = named.get(model.digest, "")
        return found, token

    def extent(self) -> tuple[int, int]:
        """How many models there are, and the bytes of all that is stored."""
        return len(self._digests()), durable.size(self._models) + durable.size(self._uploads)

    def verify(self, digest: str) -> Path:
        """The file, whose bytes are those of the upload; CorruptModel when they are not. Hashed once a change."""
        path = self.path(digest)
        try:
            signature, files = records.signature(path), parts.files_in(path, digest)
            if self._sound.get(digest) != (signature, parts.listing(files)):
                with path.open("rb") as file:
                    if parts.damaged(files, digest, iter(lambda: file.read(MB), b"")):
                        raise CorruptModel(
                            f"the stored bytes of model {digest[:16]} are not those of its upload: upload it again"
                        )
                self._sound[digest] = signature, parts.listing(files)
        except FileNotFoundError:
            raise UnknownModel(f"there is no model {digest[:16]!r}; {self._hint(digest)}") from None
        return path

    def sound(self, digest: str) -> bool:
        """Whether the model is here and its bytes are right: then nothing needs to be uploaded."""
        names.check_digest(digest)
        with suppress(CorruptModel, UnknownModel):
            return self.has(digest) and bool(self.verify(digest))
        return False

    def committed(self, digest: str) -> int:
        """How many bytes of this upload are here."""
        part = self._part(digest)
        return part.stat().st_size if part.is_file() else 0

    def upload(self, digest: str, size: int, files: Sequence[pb.File] = ()) -> Upload:
        """An upload that has not begun; nothing is touched yet. `files` are those of a model of several."""
        if size <= 0:
            raise BadUpload("the header declares no size: a model has at least 1 byte")
        if files:
            parts.check(files, digest, size)
        return Upload(self._part(digest), digest, size, files, self._free)

    def admit(self, upload: Upload, model: pb.Model) -> None:
        """Makes a finished, examined upload visible."""
        digest = upload.digest
        with self._changing():
            if self.sound(digest):
                upload.discard()
                return
            new = self._aside(digest, "new")
            new.mkdir()
            try:
                durable.create(new / "model.json", records.encoded(model))
                if upload.files:
                    durable.create(parts.listing_beside(new / "model.onnx"), parts.listing(upload.files))
                os.rename(upload.part, new / "model.onnx")
                durable.sync(new)
                self._remove(digest)
                os.rename(new, self._models / digest)
                parts.listing_beside(upload.part).unlink(missing_ok=True)
            finally:
                self._sweep(new)
            durable.sync(self._models)

    def update(self, digest: str, change: Callable[[pb.Model], None]) -> None:
        """Changes the description of a model as a whole or not at all."""
        with self._changing():
            model = self.described(digest)
            change(model)
            durable.write(self._record(digest), records.encoded(model), self._uploads)

    def name(self, digest: str, name: str) -> None:
        """Gives the model this name, taking it from the one that had it; "" leaves it without a name."""
        with self._changing():
            if name:
                names.give(self._names, digest, name, self._uploads)
            else:
                names.take(self._names, digest)

    def delete(self, digest: str) -> None:
        """Forgets the model, then its name."""
        with self._changing():
            self._remove(digest)
            names.take(self._names, digest)
        self._sound.pop(digest, None)
        self._records.forget(self._record(digest))

    def temporary(self) -> Path:
        """A path for a file of this process's own; what is left there is swept when nobody touches it any more."""
        return self._uploads / f"{secrets.token_hex(8)}.own"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with durable.room(), durable.exclusive(self.root / "lock"):
            yield

    def _remove(self, digest: str) -> None:
        """Takes the folder out of sight by one rename, then apart."""
        if (self._models / digest).exists():
            old = self._aside(digest, "old")
            os.rename(self._models / digest, old)
            durable.sync(self._models)
            self._sweep(old)

    def _sweep(self, left: Path) -> None:
        """Removes what is not finished; an upload whose admission broke off becomes a part again."""
        if left.suffix == ".new" and (left / "model.onnx").exists():
            os.rename(left / "model.onnx", self._part(left.name.partition(".")[0]))
        unfinished = left.suffix in (".new", ".old", ".tmp")
        if left.exists() and (unfinished or time.time() - left.stat().st_mtime > STALE_SECONDS):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _aside(self, digest: str, kind: str) -> Path:
        return self._uploads / f"{digest}.{secrets.token_hex(4)}.{kind}"

    def _part(self, digest: str) -> Path:
        names.check_digest(digest)
        return self._uploads / f"{digest}.part"

    def _record(self, digest: str) -> Path:
        return records.files(self._models, digest)[1]

    def _digests(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self._models) if self.has(entry.name))

    def _readable(self) -> Iterator[pb.Model]:
        for digest in self._digests():
            try:
                yield self.described(digest)
            except (CorruptModel, UnknownModel) as error:  # one bad model must not hide the others
                LOG.warning("left out of the list: %s", error)

    def _hint(self, reference: str) -> str:
        return names.hint(self._names, reference, self._digests())

    def _free(self) -> int:
        """Bytes that may still be stored: by the limit, and by the disk."""
        return min(self._limit - self.extent()[1], shutil.disk_usage(self.root).free)
