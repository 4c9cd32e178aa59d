"""What every test may ask for: the shared models and photographs, outside the project."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and photographs, beside the checkout or where BACKLIT_SHARED says."""
    folder = Path(os.environ.get("BACKLIT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip(f"REAL MODELS MISSING: no models in {folder}; set BACKLIT_SHARED to the folder that holds them")
    return folder
