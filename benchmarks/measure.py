"""Time and peak memory of a callable, the same way for every contestant."""

import time
from collections.abc import Callable, Mapping

import torch
from torch.profiler import ProfilerActivity, profile


def times(steps: Mapping[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Seconds of ``repeats`` calls of each; on a GPU by events on its stream.

    In turn, so that a machine which slows down for a while slows all of them down; and each after an
    untimed call of its own, so that none pays for the memory its neighbour gave back to the system.
    """
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            step()
            taken[name].append(_cuda_seconds(step) if device.type == "cuda" else _seconds(step))
    return taken


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


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
