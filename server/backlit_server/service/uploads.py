"""The stream of an upload: a header, then chunks, none of them late."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, BadUpload, DeadlineExceeded, Overloaded
from backlit_server.service.neighbours import Admission
from backlit_server.settings import Settings
from backlit_server.store import Upload

P = ParamSpec("P")
T = TypeVar("T")


class Parts:
    """The messages of one upload, each awaited for at most `idle` seconds."""

    def __init__(self, requests: AsyncIterator[pb.UploadRequest], idle: float) -> None:
        self._requests = aiter(requests)
        self._idle = idle

    async def header(self) -> pb.UploadHeader:
        request = await self._next()
        if request is None or request.WhichOneof("part") != "header":
            raise BadUpload("an upload begins with its header: digest, size and offset")
        return request.header

    async def chunks(self) -> AsyncIterator[bytes]:
        while (request := await self._next()) is not None:
            if request.WhichOneof("part") != "chunk":
                raise BadUpload("after the header, an upload has chunks only")
            yield request.chunk

    async def _next(self) -> pb.UploadRequest | None:
        try:
            async with asyncio.timeout(self._idle):
                return await anext(self._requests, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"nothing of this upload came for {self._idle:g} seconds; what came is kept: go on where GetUpload says"
            ) from None


async def receive(parts: Parts, upload: Upload, offset: int) -> None:
    """Brings the upload from its header's offset to its end."""
    await landed(upload.begin, offset)
    async for chunk in parts.chunks():
        await landed(upload.append, chunk)
    await landed(upload.finish)


async def examined(upload: Upload, admission: Admission, settings: Settings) -> pb.Card:
    """The card of a finished upload; a model that is refused leaves nothing behind."""
    try:
        return await admission.examine(upload.part, settings)
    except Overloaded:  # the server's fault: the bytes stay for another try
        raise
    except BacklitError:
        await landed(upload.discard)
        raise


async def landed(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """Runs file work in a thread, and waits for it even when the caller leaves: no file is closed under a writer."""
    work = asyncio.create_task(asyncio.to_thread(function, *arguments, **keywords))
    try:
        return await asyncio.shield(work)
    finally:
        work.add_done_callback(asyncio.Task.exception)  # when the caller has left, nobody else asks for it
        await asyncio.wait([work])
