"""What benchmarks do when they are told nothing, or what there is not."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ALL = ["variants", "round-robin", "restart"]


@pytest.fixture
def printed() -> list[str]:
    """The tables of memory that were printed, by name, in place of printing them."""
    return []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, printed: list[str]) -> Callable[..., None]:
    """Runs the script with these words."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "bench")
    import bench_memory

    assert list(bench_memory.TABLES) == ALL
    tables = {name: lambda _, name=name: printed.append(name) for name in ALL}
    monkeypatch.setattr(bench_memory, "TABLES", tables)

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["bench_memory.py", *words])
        bench_memory.main()

    return run


def test_all_tables_of_memory_are_printed_by_default(told, printed):
    told()
    assert printed == ALL


def test_tables_are_printed_in_the_order_they_were_asked_for(told, printed):
    told("restart", "variants")
    assert printed == ["restart", "variants"]


def test_a_table_that_there_is_not_is_refused(told, printed, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        told("restart", "weights")
    assert "there is no table weights" in capsys.readouterr().err
    assert not printed
