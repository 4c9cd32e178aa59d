"""How much memory there is for this process, and whether Linux has ended others for want of it."""

import os
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def memory(proc: Path = PROC, cgroup: Path = CGROUP) -> int:
    """Bytes of the machine, or of the container or service that this process is in, where that has fewer."""
    told = [file.read_text().strip() for file in _files(proc, cgroup) if file.is_file()]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(int(limit) for limit in told if limit.isdigit())])


def most() -> int:
    """Three quarters of it, which one kind of work may take: the rest is for all others."""
    return memory() * 3 // 4


def ended(proc: Path = PROC) -> int:
    """How many processes of this machine Linux has ended so far because memory ran out; 0 where nobody tells."""
    told = proc / "vmstat"
    lines = told.read_text().splitlines() if told.is_file() else ()
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _files(proc: Path, cgroup: Path) -> Iterator[Path]:
    """Where control groups tell their limits, those around this process's too, in the two versions that Linux has."""
    told = proc / "self" / "cgroup"
    for line in told.read_text().splitlines() if told.is_file() else ():
        _, controllers, own = line.split(":", 2)
        groups = [Path(own.lstrip("/")), *Path(own.lstrip("/")).parents]
        if not controllers:
            yield from (cgroup / group / "memory.max" for group in groups)
        if "memory" in controllers.split(","):
            yield from (cgroup / "memory" / group / "memory.limit_in_bytes" for group in groups)
