"""ModelService: the models a server holds."""
# ruff: noqa: N802 - the contract names the methods

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_proto.errors import BadQuestion, Overloaded
from backlit_proto.parts import MODEL, digest_of, files_in, flat, listing_beside
from backlit_server.methods import DEFAULT_METHOD, METHODS
from backlit_server.methods.presets import check_preprocessing
from backlit_server.service import descriptions, uploads
from backlit_server.service.logs import note
from backlit_server.service.metrics import Metrics
from backlit_server.service.neighbours import Admission, Pool
from backlit_server.service.questions import check_gradients
from backlit_server.service.timed import TimedAdmission
from backlit_server.settings import MB, Settings
from backlit_server.store import Store, check_name

LOG = logging.getLogger(__name__)
CHUNK = MB

Context = grpc.aio.ServicerContext


class ModelService(services.ModelServiceServicer):
    """Stores, examines, lists, describes, exports, reads and forgets models."""

    def __init__(self, store: Store, pool: Pool, admission: Admission, settings: Settings, metrics: Metrics) -> None:
        self._store = store
        self._pool = pool
        self._admission = TimedAdmission(admission, metrics)
        self._settings = settings
        self._metrics = metrics

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> pb.GetUploadResponse:
        if await asyncio.to_thread(self._store.sound, request.digest):
            return pb.GetUploadResponse(complete=True)
        return pb.GetUploadResponse(committed=await asyncio.to_thread(self._store.committed, request.digest))

    async def Upload(self, request_iterator: AsyncIterator[pb.UploadRequest], context: Context) -> pb.UploadResponse:
        parts = uploads.Parts(request_iterator, self._settings.upload_idle_seconds)
        header = await parts.header()
        self._check(header)
        note(model=header.digest)
        known = await asyncio.to_thread(self._store.sound, header.digest)
        await (self._renew(header.digest) if known else self._take(header, parts))
        model = await uploads.landed(self._describe, header)
        return pb.UploadResponse(model=self._told(model), known=known)

    def _check(self, header: pb.UploadHeader) -> None:
        """Refuses before a byte is taken what would be refused after all of them."""
        if header.size > self._settings.max_upload_mb * MB:
            raise Overloaded(
                f"the model has {header.size / MB:.1f} MB; this server takes {self._settings.max_upload_mb} MB at most "
                "(--max-upload-mb)"
            )
        if header.name:
            check_name(header.name)
        check_preprocessing(header.preprocessing)

    async def _take(self, header: pb.UploadHeader, parts: uploads.Parts) -> None:
        """From the first chunk to a model that everybody sees; what is refused on the way is never seen."""
        upload = self._store.upload(header.digest, header.size, header.files)
        try:
            await uploads.receive(parts, upload, header.offset)
            card = await uploads.examined(upload, self._admission, self._settings)
            descriptions.check_class_names(len(header.class_names), card)
            model = pb.Model(digest=header.digest, size=header.size, card=card, files=header.files)
            model.uploaded.GetCurrentTime()
            await uploads.landed(self._store.admit, upload, model)
        finally:
            await uploads.landed(upload.close)

    async def _renew(self, digest: str) -> None:
        """Examines a stored model anew whose card is that of a version with other methods."""
        model = await asyncio.to_thread(self._store.get, digest)
        if [row.method for row in model.card.methods] == list(METHODS):
            return
        file = await asyncio.to_thread(self._store.verify, digest)
        card = await self._admission.examine(file, self._settings)
        await uploads.landed(self._store.update, digest, lambda model: model.card.CopyFrom(card))

    def _describe(self, header: pb.UploadHeader) -> pb.Model:
        """What the header says about the model, whether its bytes came now or long ago."""
        self._change(header.digest, header)
        if header.name:
            self._store.name(header.digest, header.name)
        return self._store.get(header.digest)

    def _change(self, digest: str, given: pb.UploadHeader | pb.UpdateRequest) -> None:
        """Sets what is given of preprocessing and class names, and leaves the rest."""
        if not (given.HasField("preprocessing") or given.class_names):
            return

        def change(model: pb.Model) -> None:
            descriptions.check_class_names(len(given.class_names), model.card)
            if given.HasField("preprocessing"):
                model.preprocessing.CopyFrom(given.preprocessing)
            if given.class_names:
                model.class_names[:] = given.class_names

        self._store.update(digest, change)

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        model = await asyncio.to_thread(lambda: self._store.get(self._store.resolve(request.model)))
        note(model=model.digest)
        return pb.GetResponse(model=self._told(model))

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        models, token = await asyncio.to_thread(self._store.models, request.page_size, request.page_token)
        return pb.ListResponse(models=[self._told(model) for model in models], next_page_token=token)

    async def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateResponse:
        if request.name:
            check_name(request.name)
        check_preprocessing(request.preprocessing)
        model = await uploads.landed(self._update, request)
        note(model=model.digest)
        return pb.UpdateResponse(model=self._told(model))

    def _update(self, request: pb.UpdateRequest) -> pb.Model:
        digest = self._store.resolve(request.model)
        self._change(digest, request)
        if request.HasField("name"):
            self._store.name(digest, request.name)
        return self._store.get(digest)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteResponse:
        digest = await asyncio.to_thread(self._store.resolve, request.model)
        note(model=digest)
        name = self._store.name_of(digest)
        await uploads.landed(self._store.delete, digest)
        self._pool.forget(digest)
        self._metrics.forget(name, digest)
        return pb.DeleteResponse()

    async def Export(self, request: pb.ExportRequest, context: Context) -> AsyncIterator[pb.ExportResponse]:
        if request.weights_name and not (flat(request.weights_name) and request.weights_name != MODEL):
            raise BadQuestion(f"{request.weights_name[:300]!r} is no name for a file beside {MODEL!r}")
        digest = await asyncio.to_thread(self._store.resolve, request.model)
        method = request.method or DEFAULT_METHOD
        note(model=digest, method=method)
        described = await asyncio.to_thread(self._store.described, digest)
        check_gradients(method, described)
        descriptions.complete_export(request, described)
        model, out = await asyncio.to_thread(self._store.verify, digest), self._store.temporary()
        try:
            await self._admission.export(model, out, request, self._settings)
            async for response in _sent(out):
                yield response
        finally:
            for left in (out, listing_beside(out)):
                left.unlink(missing_ok=True)

    async def ListWeights(self, request: pb.ListWeightsRequest, context: Context) -> pb.ListWeightsResponse:
        model = await self._stored(request.model)
        return await self._admission.list_weights(model, self._settings)

    async def GetWeights(self, request: pb.GetWeightsRequest, context: Context) -> AsyncIterator[pb.GetWeightsResponse]:
        model, out = await self._stored(request.model), self._store.temporary()
        try:
            about = await self._admission.weights(model, out, request.layer, self._settings)
            yield pb.GetWeightsResponse(weights=about)
            with out.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    yield pb.GetWeightsResponse(chunk=chunk)
        finally:
            out.unlink(missing_ok=True)

    async def _stored(self, reference: str) -> Path:
        """The file of a model, its bytes verified."""
        digest = await asyncio.to_thread(self._store.resolve, reference)
        note(model=digest)
        return await asyncio.to_thread(self._store.verify, digest)

    def _told(self, model: pb.Model) -> pb.Model:
        """The model with the execution provider that serves it now."""
        devices = sorted(self._pool.devices, key=lambda device: not device.ready)
        model.card.execution_provider = devices[0].provider if devices else ""
        return model


async def _sent(path: Path) -> AsyncIterator[pb.ExportResponse]:
    """The files in chunks; what they are comes with the first."""
    files = files_in(path)
    with path.open("rb") as file:
        if len(files) == 1:
            digest = await asyncio.to_thread(lambda: hashlib.file_digest(file, "sha256").hexdigest())
            first = pb.ExportResponse(size=files[0].size, digest=digest)
        else:
            first = pb.ExportResponse(size=sum(f.size for f in files), digest=digest_of(files), files=files)
        file.seek(0)
        first.chunk = await asyncio.to_thread(file.read, CHUNK)
        yield first
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield pb.ExportResponse(chunk=chunk)
