"""How the server is reached: address, TLS, and the limits of a connection."""

import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc

from backlit_server.settings import MB, BadSettings, Settings


def options(settings: Settings) -> list[tuple[str, Any]]:
    """What gRPC is told about messages and connections; answers bound themselves, whatever a question may measure."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_mb * MB),
        # One connection may hold all questions the server takes, and some more that look around.
        ("grpc.max_concurrent_streams", settings.max_questions + 64),
        # A caller whose machine is gone is noticed, and its work stopped, after a minute and a half.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Two servers on one port would each get a share of the calls, which nobody wants by accident.
        ("grpc.so_reuseport", 0),
    ]


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """TLS as the settings say, None for plaintext; BadSettings for files that do not fit and for careless plaintext."""
    if not settings.tls_cert and not settings.tls_key:
        _allow_plaintext(settings)
        return None
    if not (settings.tls_cert and settings.tls_key):
        raise BadSettings("TLS needs both --tls-cert and --tls-key")
    _check_pair(settings.tls_cert, settings.tls_key)
    authorities = _check_authorities(settings.tls_client_ca) if settings.tls_client_ca else None
    return grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())],
        root_certificates=authorities,
        require_client_auth=authorities is not None,
    )


def bind(server: grpc.aio.Server, settings: Settings, tls: grpc.ServerCredentials | None) -> str:
    """Opens the port; the address that is listened on."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.port}"
    _try(settings.host, settings.port, address)
    port = server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls)
    return f"{host}:{port}"


def loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: who can tell where it points
        return False


def _try(host: str, port: int, address: str) -> None:
    """Opens and closes the port: gRPC does not tell why it cannot."""
    try:
        (family, _, _, _, resolved), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(resolved)
    except OSError as error:
        raise BadSettings(f"cannot listen on {address}: {error.strerror}") from None


def _allow_plaintext(settings: Settings) -> None:
    if settings.tls_client_ca:
        raise BadSettings("--tls-client-ca asks clients for certificates: it needs --tls-cert and --tls-key too")
    if not (loopback(settings.host) or settings.allow_plaintext):
        raise BadSettings(
            f"serving on {settings.host} without TLS would let anybody read along: give --tls-cert and --tls-key, "
            "or --allow-plaintext where something else protects the connection"
        )


def _check_pair(cert: Path, key: Path) -> None:
    """gRPC tells nothing about files it cannot use, the standard library does."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except FileNotFoundError:
        missing = ", ".join(str(path) for path in (cert, key) if not path.is_file())
        raise BadSettings(f"there is no file {missing}") from None
    except OSError as error:  # ssl.SSLError is one
        raise BadSettings(f"{cert} and {key} are not a certificate and its key: {error}") from None


def _check_authorities(file: Path) -> bytes:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
        return file.read_bytes()
    except OSError as error:
        raise BadSettings(f"{file} holds no certificate authorities: {error}") from None
