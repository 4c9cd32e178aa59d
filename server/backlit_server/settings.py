"""Every setting of backlit-server once, with its default, its line in --help and its valid values."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backlit_server.execution import DEFAULT, EXHAUSTIVE, HALF, HEURISTIC, SINGLE, most_of_memory
from backlit_server.keeping import half_of_memory

MB = 1024 * 1024
GB = 1024 * MB


class BadSettings(Exception):
    """The server cannot start as it was told to; the message is one line for the person who started it."""


@dataclass(frozen=True)
class Valid:
    """Which values a setting takes, beyond those of its type: in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def told(text: str, valid: Valid | None = None, default: str = "") -> dict[str, Any]:
    """What a field tells about itself: its line in --help, its valid values where its type alone does not, and its
    default in words where that is found when the server starts.
    """
    return {"help": text, "valid": valid, "default": default}


def at_least(least: int) -> Valid:
    return Valid(f"at least {least}", lambda value: value >= least)


def between(least: int, most: int) -> Valid:
    return Valid(f"between {least} and {most}", lambda value: least <= value <= most)


def one_of(*choices: str) -> Valid:
    return Valid(f"one of {', '.join(choices)}", lambda value: value in choices)


def like(pattern: str, words: str) -> Valid:
    return Valid(words, lambda value: re.fullmatch(pattern, value) is not None)


def data_home() -> Path:
    """The folder for a user's data, as the XDG base directory specification says."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "backlit"


DEVICE = r"(auto|cpu|(require-)?cuda(:\d+)?)"
DEVICES = like(rf"{DEVICE}(,{DEVICE})*", "auto, cpu, cuda, cuda:N or require-cuda, or several of them with commas")

MODEL = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
MODELS = Valid(
    "a number of models, or names or digests with commas",
    lambda value: isinstance(value, int) or all(map(MODEL.fullmatch, value.split(","))),
)


# fmt: off
@dataclass(frozen=True)
class Settings:
    """What the server was told, in the order in which --help lists it."""
    host: str = field(default="127.0.0.1", metadata=told("address to listen on"))
    port: int = field(default=50051, metadata=told("port to listen on; 0 takes a free one", between(0, 65535)))
    store: Path = field(default_factory=data_home, metadata=told(
        "folder of the uploaded models", default="the user's data folder"))
    device: str = field(default="auto", metadata=told(
        "where models run: auto, cpu, cuda, cuda:N, or require-cuda, which refuses to fall back to the CPU; several "
        "with commas, a worker each", DEVICES))
    precision: str = field(default=SINGLE, metadata=told(
        "precision of forward passes up to a layer, unless a question says: single or half; what is behind the layer "
        "is single", one_of(SINGLE, HALF)))
    tf32: bool = field(default=False, metadata=told("let GPUs round factors to 10 bits, which is quicker"))
    deterministic: bool = field(default=False, metadata=told(
        "only algorithms whose results are the same to the last bit, as far as the device has them"))
    convolution_search: str = field(default=HEURISTIC, metadata=told(
        "how GPUs choose a convolution's algorithm: heuristic, exhaustive (tried at every new shape) or default (one "
        "for all)", one_of(HEURISTIC, EXHAUSTIVE, DEFAULT)))
    cpu_memory_mb: int = field(default_factory=most_of_memory, metadata=told(
        "megabytes that runs of all workers take at most, with weights that sessions do not share; a question that "
        "needs more is refused; 0: no limit", at_least(0), "three quarters of the machine's or container's"))
    gpu_memory_mb: int = field(default=0, metadata=told(
        "most that all runs of a worker take of a GPU, beside the weights of open sessions; 0: as much as there is",
        at_least(0)))
    threads: int = field(default=0, metadata=told(
        "threads of a worker; 0 takes the cores this process may use", at_least(0)))
    memory: int = field(default_factory=half_of_memory, metadata=told(
        "megabytes that workers keep of models, sessions and features; what was used longest ago goes first",
        at_least(1), "half of the machine's or container's"))
    features_mb: int = field(default=256, metadata=told(
        "of these, for forward passes that further questions about the same images share; 0 keeps none", at_least(0)))
    cache_gb: int = field(default=10, metadata=told(
        "optimised models beside the store, whose weights all sessions share; 0 keeps none, and each session has "
        "weights of its own", at_least(0)))
    preload: int | str = field(default=4, metadata=told(
        "models that are opened when a worker starts: how many, those used last, or which, by names or digests with "
        "commas; one that the store lacks is told in the log, as TorchServe does it", MODELS))
    max_message_mb: int = field(default=64, metadata=told(
        "largest message, so the largest batch of images", between(1, 2047)))
    max_picture_megapixels: int = field(default=50, metadata=told(
        "largest picture that is decoded, by its header", between(1, 4294)))
    max_upload_mb: int = field(default=512, metadata=told("largest model file", at_least(1)))
    max_store_gb: int = field(default=50, metadata=told("how much the store may hold", at_least(1)))
    max_questions: int = field(default=64, metadata=told(
        "questions in flight; more are refused as overload", at_least(1)))
    max_batch: int = field(default=0, metadata=told(
        "images of several questions that share a run at most; 0: as many as gain by it, 1: none do", at_least(0)))
    batch_delay_ms: int = field(default=0, metadata=told(
        "how long a run with room for more images waits for them; 0: never", at_least(0)))
    admission_seconds: int = field(default=60, metadata=told(
        "how long the examination of an uploaded model may take", at_least(1)))
    upload_idle_seconds: int = field(default=60, metadata=told("how long an upload may pause", at_least(1)))
    yield_seconds: int = field(default=30, metadata=told(
        "how long a worker may go on with a question after its caller has left; then it is replaced", at_least(1)))
    grace_seconds: int = field(default=30, metadata=told(
        "how long questions in flight may go on after SIGTERM", at_least(0)))
    metrics_port: int = field(default=0, metadata=told(
        "port that shows metrics to Prometheus, over HTTP; 0 shows none", between(0, 65535)))
    metrics_host: str = field(default="127.0.0.1", metadata=told("address of that port, which asks nobody for a token"))
    trace_endpoint: str = field(default="", metadata=told(
        "where OpenTelemetry traces go, by OTLP over gRPC, such as http://localhost:4317; needs the extra tracing",
        like(r"https?://\S+", "an http:// or https:// address")))
    tls_cert: Path | None = field(default=None, metadata=told(
        "PEM file of the server's certificate chain; turns TLS on"))
    tls_key: Path | None = field(default=None, metadata=told("PEM file of the server's key"))
    tls_client_ca: Path | None = field(default=None, metadata=told(
        "PEM file of the authorities whose clients are let in (mTLS)"))
    token_file: Path | None = field(default=None, metadata=told(
        "file holding the bearer token that callers must send"))
    allow_plaintext: bool = field(default=False, metadata=told("serve beyond this machine without TLS"))
    reflection: bool = field(default=False, metadata=told("let clients ask for the contract (gRPC reflection)"))
    log_format: str = field(default="human", metadata=told("how logs look: human or json", one_of("human", "json")))
    log_level: str = field(default="info", metadata=told(
        "what is logged: debug, info, warning or error", one_of("debug", "info", "warning", "error")))
    private: bool = field(default=False, metadata=told(
        "stop when standard input ends, as the server of one client does"))
# fmt: on
