"""The device that all sides are measured on: BACKLIT_DEVICE, which servers read too; the CPU where it is not set."""

import os
from pathlib import Path

import onnxruntime

from backlit_server.engine import providers
from backlit_server.engine.engine import Engine
from backlit_server.execution import Execution
from backlit_server.keeping import Keeping

DEVICE = os.environ.get("BACKLIT_DEVICE", "cpu")


def engine(store: Path) -> Engine:
    """The bare engine, which runs every forward pass."""
    return Engine(store, DEVICE, len(os.sched_getaffinity(0)), keeping=Keeping(features_mb=0))


def plain_session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime at its defaults; on a GPU with the options of the engine's sessions, and not on another device."""
    asked = providers.wanted(DEVICE, Execution())
    data = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(data, providers=asked, enable_fallback=0)
    wanted = asked[0] if isinstance(asked[0], str) else asked[0][0]
    if session.get_providers()[0] != wanted:
        raise SystemExit(f"{DEVICE} was asked for, and ONNX Runtime runs on {session.get_providers()[0]}")
    return session
