"""The device under test, and what is asked of it.

BACKLIT_TEST_DEVICE names it, cuda where it is not set. With cpu the CPU is compared with itself, so that these tests
are known to run where there is no GPU.
"""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from backlit_server.engine import providers
from backlit_server.engine.providers import CPU, CUDA
from backlit_server.keeping import Keeping
from real_models import feeds

DEVICE = os.environ.get("BACKLIT_TEST_DEVICE", "cuda")
PROVIDER = CPU if DEVICE == "cpu" else CUDA
THREADS = 2
FRESH = Keeping(features_mb=0)  # every forward pass is run


def required() -> str:
    """The device under test as workers are told of it, or a skip that cannot be overlooked."""
    if DEVICE != "cpu" and not providers.driver():
        pytest.skip(f"NO GPU: no NVIDIA driver, or an onnxruntime without {CUDA}; nothing here was tested")
    return DEVICE if DEVICE == "cpu" else f"require-{DEVICE}"


def file_of(shared: Path, name: str) -> Path:
    return shared / "models" / f"{name}.onnx"


def inputs_of(file: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs that fit, the same for the same seed."""
    random = np.random.default_rng(seed)
    given = feeds(onnx.load(file))
    return {name: random.normal(size=x.shape).astype(x.dtype) for name, x in given.items()}
