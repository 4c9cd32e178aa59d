"""Optimised graphs on disk: damaged ones are made anew, folders used longest ago go first."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backlit_server.engine.budget import Budget
from backlit_server.engine.kept import Shelved
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Runtime
from backlit_server.engine.shelf import Shelf, Shelves
from toy_nets import picture, toy

GB = 1 << 30


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.unlink()  # whoever has the old bytes mapped keeps them
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [flipped, Path.unlink], ids=["flipped", "missing"])
@pytest.mark.parametrize("kind", ["graph", "weight"])
def test_what_is_damaged_on_the_shelf_is_made_anew(runtime, shelf, harm: Callable[[Path], None], kind: str):
    x = {"x": picture()}
    expected = open_model(toy(), Shelved(runtime, Budget(GB), "toy", shelf)).plain.run(x)
    sound = {path.name: path.read_bytes() for path in shelf.folder.iterdir()}
    harmed = [path for path in shelf.folder.iterdir() if (path.suffix == ".graph") == (kind == "graph")]
    for path in harmed:
        if path.name != "lock":
            harm(path)
    found = open_model(toy(), Shelved(runtime, Budget(GB), "toy", Shelf(shelf.folder))).plain.run(x)
    assert found["y"].tobytes() == expected["y"].tobytes()
    assert {path.name for path in shelf.folder.iterdir()} == set(sound)
    for name in (name for name in sound if len(name) == 64):
        assert hashlib.sha256((shelf.folder / name).read_bytes()).hexdigest() == name


def test_a_graph_that_is_kept_is_not_optimised_again(runtime: Runtime, shelf: Shelf, monkeypatch):
    open_model(toy(), Shelved(runtime, Budget(GB), "toy", shelf)).plain  # noqa: B018
    monkeypatch.setattr(Shelved, "_made", None)
    assert open_model(toy(), Shelved(runtime, Budget(GB), "toy", Shelf(shelf.folder))).plain.inputs == ("x",)


def test_other_machines_and_runtimes_have_graphs_of_their_own(runtime: Runtime, shelf: Shelf, monkeypatch):
    open_model(toy(), Shelved(runtime, Budget(GB), "toy", shelf)).plain  # noqa: B018
    graphs = len(list(shelf.folder.glob("*.graph")))
    monkeypatch.setattr("backlit_server.engine.kept.machine", lambda: "another")
    open_model(toy(), Shelved(runtime, Budget(GB), "toy", Shelf(shelf.folder))).plain  # noqa: B018
    assert len(list(shelf.folder.glob("*.graph"))) == 2 * graphs


def fill(folder: Shelf, size: int) -> None:
    folder.keep(bytes(size))


def test_folders_used_longest_ago_go_first_but_never_those_that_are_open(tmp_path: Path):
    shelves = Shelves(tmp_path, 250)
    for age, name in enumerate("abcd"):
        fill(shelves.open(name), 100)
        os.utime(tmp_path / name, (age, age))
    held = Shelf(tmp_path / "a")
    os.utime(held.folder, (0, 0))
    shelves.shrink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d"]
    assert shelves.recent() == ["d", "a"]


def test_a_folder_that_was_removed_can_be_opened_again(tmp_path: Path):
    shelves = Shelves(tmp_path, 250)
    fill(shelves.open("a"), 100)
    shelves.remove("a")
    assert shelves.recent() == []
    assert shelves.open("a").keep(b"x").read_bytes() == b"x"
