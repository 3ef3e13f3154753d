"""How a thread keeps torch's operators to itself: they split no work while it is ``alone``.

An operator on more than 32768 elements opens a parallel region of OpenMP, in which all threads wait for each other;
a chunk has thirty operators and a call a hundred chunks, and where another program has one of the cores each of these
thousands of regions waits for it. How many threads a region may have is a setting of the thread that opens it
(OpenMP's "nthreads-var"). ``torch.set_num_threads`` writes it too, but also what other threads begin with and what MKL
does; so it is set by OpenMP's own function, which no other thread can see.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import torch


def _runtime() -> Any:
    """The OpenMP that torch has loaded; None where the process's symbols cannot be asked (Windows) or have none."""
    try:
        library = ctypes.PyDLL(None)  # a call of nanoseconds, for which the GIL is not let go
        library.omp_set_num_threads, library.omp_get_max_threads  # noqa: B018
    except (TypeError, OSError, AttributeError):
        return None
    return library


_openmp = _runtime()
_asked = False  # whether it is the one that torch runs on


def can_be_alone() -> bool:
    """Not in a process that has loaded another OpenMP first, nor in a torch that was built with threads of its own."""
    global _openmp, _asked
    if not _asked:
        with alone(True):
            mine = torch.get_num_threads() == 1
        if not mine:
            _openmp = None
        _asked = True
    return _openmp is not None


@contextlib.contextmanager
def alone(wanted: bool) -> Iterator[None]:
    """Where it is not wanted, or cannot be done, nothing is."""
    openmp = _openmp
    if openmp is None or not wanted:
        yield
        return
    torch.get_num_threads()  # a thread's first question has torch set the number
    before = openmp.omp_get_max_threads()
    openmp.omp_set_num_threads(1)
    try:
        yield
    finally:
        openmp.omp_set_num_threads(before)
