"""A child process that neither outlives nor starves the one that started it, nor those beside it."""

import ctypes
import os
import signal
import sys
from pathlib import Path

from backlit_server.limits import most

PR_SET_PDEATHSIG = 1  # linux/prctl.h
NICE = 13


def die_with_parent() -> None:
    """Asks Linux to kill this process with the thread that started it; elsewhere the end of its pipes has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def give_way() -> None:
    """Takes the processor where others leave it: a twentieth of what a process of usual priority gets beside it."""
    os.nice(NICE)


def end_first(before: int) -> None:
    """Where memory runs out, Linux ends this process sooner than others, such as the one that started it.

    `before`: by how many thousandths of all memory it counts as larger than it is.
    """
    own = Path("/proc/self/oom_score_adj")
    if own.is_file():
        own.write_text(str(min(1000, int(own.read_text()) + before)))


def bound_memory() -> int:
    """On Linux, at most three quarters of all memory: a file of a hundred bytes may ask for more than there is.

    How many bytes that are.
    """
    bound = most()
    if sys.platform == "linux":
        import resource  # not there elsewhere

        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    return bound
