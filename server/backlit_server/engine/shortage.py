"""Memory that ran out, as it is told: how much was asked for, how much there was, and the way out."""

import re

from backlit_proto.errors import Overloaded
from backlit_server.execution import MB, Execution

# What ONNX Runtime's arena (core/framework/bfc_arena.cc) and CUDA say where memory ends.
LEFT = re.compile(r"Available memory of (?P<left>\d+) is smaller than requested bytes of (?P<asked>\d+)")
ASKED = re.compile(r"Failed to allocate memory for requested buffer of size (?P<asked>\d+)")
NONE = re.compile(r"out of memory|bad_alloc")


def shortage(error: Exception, device: str, execution: Execution) -> Overloaded | None:
    """What an error is to the caller where memory is what was missing on a device, else None."""
    words = str(error)
    found = LEFT.search(words) or ASKED.search(words)
    if not (found or NONE.search(words) or isinstance(error, MemoryError)):
        return None
    flag, limit = _limit(device, execution)
    told = {name: int(number) for name, number in found.groupdict().items()} if found else {}
    asked = f": one tensor takes {_mb(told['asked'])} MB" if told else ""
    left = f", and {_mb(told['left'])} MB are left of the {limit} MB for runs" if limit and "left" in told else ""
    larger = f", or start the server with a larger {flag}" if limit else ""
    return Overloaded(
        f"model and question do not fit into the memory of {device}{asked}{left}; send fewer or smaller images at "
        f"once{larger}",
        **({"needed_bytes": str(told["asked"])} if told else {}),
        **({"limit_bytes": str(limit * MB)} if limit else {}),
    )


def _limit(device: str, execution: Execution) -> tuple[str, int]:
    """The setting that bounds runs on a device, and its megabytes; 0: there is no bound."""
    if device.startswith("cuda"):
        return "--gpu-memory-mb", execution.gpu_memory_mb
    return "--cpu-memory-mb", execution.cpu_memory_mb


def _mb(count: int) -> int:
    return -(-count // MB)
