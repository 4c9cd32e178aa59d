"""Who can read along and who gets in: plaintext, TLS, mTLS."""

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest

from backlit_server.service import transport
from backlit_server.settings import BadSettings, Settings
from processes import list_models, server


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_plaintext_beyond_this_machine_needs_to_be_told(host, allowed):
    if allowed:
        assert transport.credentials(Settings(host=host)) is None
    else:
        with pytest.raises(BadSettings, match=r"--tls-cert.*--allow-plaintext"):
            transport.credentials(Settings(host=host))
    assert transport.credentials(Settings(host=host, allow_plaintext=True)) is None


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """Two authorities, `ours` and `other`, and for each a `-server` and a `-client` certificate."""
    if not shutil.which("openssl"):
        pytest.skip("TLS IS NOT TESTED: there is no openssl command to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")
    for authority in ("ours", "other"):
        files = ("-keyout", f"{folder}/{authority}.key", "-out", f"{folder}/{authority}.pem")
        openssl(*new, *files, "-subj", f"/CN={authority}")
        signing = ("-CA", f"{folder}/{authority}.pem", "-CAkey", f"{folder}/{authority}.key")
        for end in ("server", "client"):
            files = ("-keyout", f"{folder}/{authority}-{end}.key", "-out", f"{folder}/{authority}-{end}.pem")
            openssl(*new, *files, *signing, *names, "-subj", f"/CN={end}")
    return folder


def tls_flags(certificates: Path, *, clients: str = "") -> list[str]:
    ours = ["--tls-cert", f"{certificates}/ours-server.pem", "--tls-key", f"{certificates}/ours-server.key"]
    return [*ours, *(["--tls-client-ca", f"{certificates}/{clients}.pem"] if clients else [])]


def secure(address: str, certificates: Path, *, trust: str = "ours", client: str = "") -> grpc.aio.Channel:
    pair = [(certificates / f"{client}-client{ending}").read_bytes() if client else None for ending in (".key", ".pem")]
    credentials = grpc.ssl_channel_credentials((certificates / f"{trust}.pem").read_bytes(), *pair)
    return grpc.aio.secure_channel(address, credentials)


async def reached(channel: grpc.aio.Channel) -> bool:
    """Whether a call gets through; nothing but a refused connection counts as no."""
    async with channel:
        try:
            await list_models(channel)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


async def test_with_tls_only_who_speaks_it_and_trusts_the_authority_gets_through(tmp_path, certificates):
    with server(tmp_path, *tls_flags(certificates)) as started:
        address = started.address()
        assert await reached(secure(address, certificates))
        assert not await reached(secure(address, certificates, trust="other"))
        assert not await reached(grpc.aio.insecure_channel(address))


async def test_with_mtls_only_clients_of_the_named_authority_get_through(tmp_path, certificates):
    with server(tmp_path, *tls_flags(certificates, clients="ours")) as started:
        address = started.address()
        assert await reached(secure(address, certificates, client="ours"))
        assert not await reached(secure(address, certificates, client="other"))
        assert not await reached(secure(address, certificates))


BAD_TLS = {
    "no key": (["ours-server.pem", None, None], "both --tls-cert and --tls-key"),
    "another's key": (["ours-server.pem", "other-server.key", None], "not a certificate and its key"),
    "a missing file": (["nowhere.pem", "ours-server.key", None], "nowhere.pem"),
    "a key that is none": (["ours-server.pem", "ours.pem", None], "not a certificate and its key"),
    "an authority that is none": (["ours-server.pem", "ours-server.key", "ours.key"], "no certificate authorities"),
    "mTLS without TLS": ([None, None, "ours.pem"], "needs --tls-cert and --tls-key too"),
}


@pytest.mark.parametrize("case", BAD_TLS)
def test_certificates_that_cannot_serve_are_refused_at_the_start(case, certificates):
    files, words = BAD_TLS[case]
    cert, key, authority = (certificates / name if name else None for name in files)
    with pytest.raises(BadSettings) as refusal:
        transport.credentials(Settings(tls_cert=cert, tls_key=key, tls_client_ca=authority))
    assert words in str(refusal.value)
