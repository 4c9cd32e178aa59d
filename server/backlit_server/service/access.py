"""Who may call: whoever sends the bearer token of the token file. The health service answers everybody."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc

from backlit_proto.errors import NotAuthenticated
from backlit_server.service.calls import HEALTH, refusing
from backlit_server.settings import BadSettings

LOG = logging.getLogger(__name__)
SCHEME = "bearer "


class Access(grpc.aio.ServerInterceptor):
    """Refuses calls without the token. A changed file is read anew; while it cannot be read, nobody gets in."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at: tuple[int, int, int] | None = None
        self._token = b""
        try:
            self._refresh()
        except OSError as error:
            raise BadSettings(f"cannot read the token file {file}: {error.strerror}") from None
        if not self._token:
            raise BadSettings(
                f"the token file {file} is empty: write the token into it, for example 32 random bytes in hex"
            )

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(HEALTH):
            return handler
        given = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
        if self._admits(given if isinstance(given, str) else ""):
            return handler
        return refusing(handler, NotAuthenticated(_refusal(given)))

    def _admits(self, given: str) -> bool:
        try:
            self._refresh()
        except OSError as error:
            LOG.error("nobody is let in: the token file cannot be read: %s", error)
            return False
        token = given[len(SCHEME) :].strip().encode() if given.lower().startswith(SCHEME) else b""
        return bool(self._token) and hmac.compare_digest(token, self._token)

    def _refresh(self) -> None:
        found = self._file.stat()
        read_at = found.st_ino, found.st_size, found.st_mtime_ns
        if read_at != self._read_at:
            self._token = self._file.read_bytes().strip()
            self._read_at = read_at


def _refusal(given: str | bytes) -> str:
    if not given:
        return "this server asks for a token: send it as metadata `authorization: Bearer TOKEN`"
    return "the token is not the one this server asks for"
