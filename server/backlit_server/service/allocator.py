"""The front keeps the memory it frees: every question is several copies of its tensors, each gone a moment later."""

import ctypes
import sys

# malloc.h of glibc. Untold, it hands blocks of this size back to the system each time, and new pages are what
# costs: 524 page faults and 1.3 ms of a 602 KB question.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 32 << 20  # at the end of each heap
LARGEST_BLOCK = 16 << 20  # larger blocks still go back at once


def keep_freed_memory() -> None:
    """Tells glibc's malloc so; other allocators have settings of their own."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
