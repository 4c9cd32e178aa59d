"""What benchmarks do when they are told nothing."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables of memory that were printed, by name, in place of printing them."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "bench")
    import bench_memory

    found: list[str] = []
    tables = {name: lambda _, name=name: found.append(name) for name in bench_memory.TABLES}
    monkeypatch.setattr(bench_memory, "TABLES", tables)
    monkeypatch.setattr(sys, "argv", ["bench_memory.py"])
    return found


def test_all_tables_of_memory_are_printed_by_default(ran):
    import bench_memory

    bench_memory.main()
    assert ran == ["variants", "round-robin", "restart"]


def test_tables_are_printed_in_the_order_they_were_asked_for(ran, monkeypatch: pytest.MonkeyPatch):
    import bench_memory

    monkeypatch.setattr(sys, "argv", ["bench_memory.py", "restart", "variants"])
    bench_memory.main()
    assert ran == ["restart", "variants"]


def test_a_table_that_there_is_not_is_refused(ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    import bench_memory

    monkeypatch.setattr(sys, "argv", ["bench_memory.py", "weights"])
    with pytest.raises(SystemExit, match="2"):
        bench_memory.main()
    assert "there is no table weights" in capsys.readouterr().err
    assert not ran
