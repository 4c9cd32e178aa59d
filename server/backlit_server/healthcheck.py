"""Asks the server on this machine whether it can answer now: exit status 0 if so, 1 if not.

    python -m backlit_server.healthcheck

For container runtimes. It reads the server's own settings (the same flags, environment variables and file), so that
a container which is configured by its environment says nothing twice. Under TLS it trusts the server's certificate
file; under mTLS it shows that certificate too, which has to be one the client authorities signed.
"""

import os
import socket
import ssl
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from backlit_server.command_line import read_command
from backlit_server.settings import BadSettings, Settings

SECONDS = 4.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1", "": "127.0.0.1"}


def main() -> None:
    """Says on stderr why not, when it is not serving."""
    try:
        status = ask(read_command(sys.argv[1:], os.environ).settings)
    except grpc.RpcError as error:
        sys.exit(f"not serving: {error.details() if isinstance(error, grpc.Call) else error}")
    except (BadSettings, OSError) as error:
        sys.exit(f"not serving: {error}")
    if status != HealthCheckResponse.SERVING:
        sys.exit(f"not serving: {HealthCheckResponse.ServingStatus.Name(status)}")


def ask(settings: Settings) -> HealthCheckResponse.ServingStatus:
    """The status of the server as a whole; grpc.RpcError when nobody answers within the time."""
    with open_channel(settings) as channel:
        check = HealthStub(channel).Check  # pyright: ignore[reportAttributeAccessIssue] the package ships no types
        return check(HealthCheckRequest(), timeout=SECONDS).status


def open_channel(settings: Settings) -> grpc.Channel:
    """A channel to this machine, secured the way the server is."""
    host = ANYWHERE.get(settings.host, settings.host)
    address = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    if settings.tls_cert is None:
        return grpc.insecure_channel(address)
    certificate = settings.tls_cert.read_bytes()
    shown = (
        (settings.tls_key.read_bytes(), certificate) if settings.tls_client_ca and settings.tls_key else (None, None)
    )
    options = [("grpc.ssl_target_name_override", certified_name(settings, host))]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate, *shown), options)


def certified_name(settings: Settings, host: str) -> str:
    """A name the server's certificate is for, since it is hardly for the loopback address."""
    context = ssl.create_default_context(cafile=settings.tls_cert)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is the anchor
    with (
        socket.create_connection((host, settings.port), SECONDS) as plain,
        context.wrap_socket(plain) as secured,
    ):
        names = [value for _, value in (secured.getpeercert() or {}).get("subjectAltName", ())]
    return str(names[0]).replace("*", "any", 1) if names else host


if __name__ == "__main__":
    main()
