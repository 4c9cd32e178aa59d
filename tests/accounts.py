"""What processes take, as Linux counts it: processor time and memory."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
WORKER = "backlit_server.workers.worker"


def processor_seconds(pid: int) -> float:
    """User and system time of all threads so far, in steps of 10 ms."""
    after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_the_name[11]) + int(after_the_name[12])) / TICKS


def resident_mb(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def server_processes(store: Path) -> dict[str, int]:
    """Front and worker of the server that keeps its models here, by process id; those alone that live."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        if str(store) in command and any(word.startswith("backlit_server") for word in command):
            found["worker" if WORKER in command else "front"] = int(process.name)
    return found
