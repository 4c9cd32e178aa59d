"""How much memory there is, as Linux tells it, and who goes first when it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backlit_server import limits
from backlit_server.execution import Execution
from toys import children, number

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
GB = 1 << 30
# What /proc/self/cgroup says, files below /sys/fs/cgroup, and what it comes to.
GROUPS = {
    "no groups at all": (None, {}, MACHINE),
    "version 2, no limit": ("0::/\n", {"memory.max": "max"}, MACHINE),
    "version 2, a container": ("0::/\n", {"memory.max": f"{GB}"}, GB),
    "version 2, a service": ("0::/system.slice/b.service\n", {"system.slice/b.service/memory.max": f"{GB}"}, GB),
    "version 2, around it": (
        "0::/pod/one\n",
        {"pod/one/memory.max": "max", "pod/memory.max": f"{GB}", "memory.max": f"{2 * GB}"},
        GB,
    ),
    "version 1": ("5:devices:/\n4:memory:/docker/7\n", {"memory/docker/7/memory.limit_in_bytes": f"{GB}"}, GB),
    "version 1, seen from inside": ("4:memory:/docker/7\n", {"memory/memory.limit_in_bytes": f"{GB}"}, GB),
    "version 1, no limit": ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
    "another's group": ("0::/mine\n", {"yours/memory.max": f"{GB}"}, MACHINE),
}


@pytest.mark.parametrize("case", GROUPS)
def test_memory_is_that_of_the_machine_or_of_the_group_with_the_least(tmp_path: Path, case: str):
    told, files, expected = GROUPS[case]
    if told is not None:
        (tmp_path / "self").mkdir()
        (tmp_path / "self" / "cgroup").write_text(told)
    for name, text in files.items():
        file = tmp_path / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    assert limits.memory(tmp_path, tmp_path / "sys") == expected


def test_the_processes_that_linux_ended_are_counted(tmp_path: Path):
    assert limits.ended(tmp_path) == 0
    (tmp_path / "vmstat").write_text("nr_free_pages 7\noom_kill_other 1\noom_kill 3\n")
    assert limits.ended(tmp_path) == 3


def test_workers_share_the_memory_for_runs():
    assert Execution(cpu_memory_mb=9).shared_by(2) == Execution(cpu_memory_mb=5)
    assert Execution(cpu_memory_mb=0).shared_by(2) == Execution(), "no limit is none for each"


def adjusted(pid: int | str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who goes first")
async def test_a_worker_goes_before_the_front(pool):
    (worker,) = children()
    assert await number(pool, "pid") == worker
    assert adjusted(worker) == min(1000, adjusted("self") + 500)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who goes first")
def test_an_examination_goes_before_all():
    code = "import sys; from backlit_server.parent import end_first; end_first(1000); print(open(sys.argv[1]).read())"
    command = [sys.executable, "-c", code, "/proc/self/oom_score_adj"]
    assert int(subprocess.run(command, check=True, capture_output=True).stdout) == 1000
