"""Models named when the server starts are ready before anybody asks; one that is not there is told of, and no more."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

import backlit
from backlit_server.service import preloading
from backlit_server.settings import GB, Settings
from backlit_server.store import Store
from real_server import real_server
from stocked import add
from waiting import until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a server with two models, one of them with a name."""
    store = Store(tmp_path, GB)
    store.open()
    store.name(add(store, b"one"), "resnet-50")
    add(store, b"two")
    return Settings(store=tmp_path)


ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
TWO = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
FOUND = {
    "a number": (4, 4, ""),
    "a name": ("resnet-50", ONE, ""),
    "a digest, and how another begins": (f"{TWO},{ONE[:8]}", f"{TWO},{ONE}", ""),
    "a name that is nearly one": ("resnet50", 0, "there is no model 'resnet50'; there are resnet-50"),
    "one that is there and one that is not": (f"vgg,{TWO}", TWO, "there is no model 'vgg'"),
}


@pytest.mark.parametrize("case", FOUND)
def test_names_become_digests_and_what_is_missing_is_told(settings, caplog: pytest.LogCaptureFixture, case: str):
    asked, expected, words = FOUND[case]
    caplog.set_level(logging.WARNING, "backlit_server")
    assert preloading.found(replace(settings, preload=asked)).preload == expected
    assert (words in caplog.text) if words else not caplog.text


def test_a_store_that_does_not_exist_yet_has_none_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert preloading.found(Settings(store=tmp_path / "new", preload="resnet-50")).preload == 0
    assert "--preload: there is no model 'resnet-50'; upload it first" in caplog.text


async def test_a_server_opens_the_models_that_are_named_and_starts_without_those_it_lacks(shared: Path, tmp_path: Path):
    store = Store(tmp_path, GB)
    store.open()
    store.name(add(store, (shared / "models" / "digits40-cnn-gap.onnx").read_bytes()), "digits")
    flags = ("--device", "cpu", "--preload", "faces,digits")
    with real_server(tmp_path, *flags) as address, backlit.connect(address) as server:
        await until(lambda: server.metrics()["backlit_cache_entries"].sum(kind="model") == 1)
    assert "--preload: there is no model 'faces'; there are digits" in (tmp_path / "log").read_text()
