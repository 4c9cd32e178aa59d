"""A child process that neither outlives nor starves the one that started it, nor those beside it."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
NICE = 13


def die_with_parent() -> None:
    """Asks Linux to kill this process with the thread that started it; elsewhere the end of its pipes has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def give_way() -> None:
    """Takes the processor where others leave it: a twentieth of what a process of usual priority gets beside it."""
    os.nice(NICE)


def bound_memory() -> None:
    """On Linux, at most half of the machine's memory: a file of a hundred bytes may ask for more than there is."""
    if sys.platform == "linux":
        import resource  # not there elsewhere

        half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        resource.setrlimit(resource.RLIMIT_AS, (half, half))
