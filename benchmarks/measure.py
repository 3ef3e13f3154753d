"""Time and peak memory of a callable, the same way for every contestant."""

import statistics
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def times(fn: Callable[[], object], device: torch.device, repeats: int = 7) -> list[float]:
    """Seconds of each of ``repeats`` calls, after one to warm up; on a GPU by events on its stream."""
    fn()
    if device.type == "cuda":
        return [_cuda_seconds(fn) for _ in range(repeats)]
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        fn()
        taken.append(time.perf_counter() - start)
    return taken


def median_time(fn: Callable[[], object], device: torch.device, repeats: int = 7) -> float:
    """Median seconds of a call."""
    return statistics.median(times(fn, device, repeats))


def _cuda_seconds(fn: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    fn()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def peak_bytes(fn: Callable[[], object], device: torch.device) -> int:
    """Most bytes alive at once during a call, above what was alive before it.

    As torch's allocator sees it, temporaries inside an operator included.
    """
    fn()
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        fn()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        fn()
    results = profiler.profiler.kineto_results  # type: ignore[union-attr]
    changes = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for _, change in sorted(changes, key=lambda c: c[0]):
        alive += change
        peak = max(peak, alive)
    return peak
