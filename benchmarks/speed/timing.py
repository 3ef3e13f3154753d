"""Time, memory, launches and bandwidth, the same way for every contestant, and the machine that they are of."""

import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from ..device import Machine, described

Step = Callable[[], object]

LEAST, MOST = 5, 50  # timed calls
LONGEST = 10.0  # seconds after which a contestant has had its turns, be they fewer
COPIED = {"cpu": 1 << 28, "cuda": 1 << 30}  # bytes
# Seconds. A shorter call feels its neighbour, which gave memory back to the system: seen to make 0.15 s 0.45.
SLOW = 2.0


def times(
    steps: Mapping[str, Step], device: torch.device, budget: float, turns: tuple[int, int] | None = None
) -> dict[str, list[float]]:
    """Seconds of calls of each: at least ``LEAST``, and more until ``budget`` seconds are spent on it.
    turns: instead of the fewest and the most.

    In turn, so that a machine which slows down for a while slows all of them down; and a short call after
    another of its own, so that none pays for the memory its neighbour gave back to the system.
    """
    least, most = turns or (LEAST, MOST)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    spent = dict.fromkeys(steps, 0.0)
    clock = _CudaClock(device) if device.type == "cuda" else _seconds
    going = list(steps)
    while going:
        for name in tuple(going):
            start = time.perf_counter()
            seconds = clock(steps[name])
            taken[name].append(clock(steps[name]) if seconds < SLOW else seconds)
            spent[name] += time.perf_counter() - start
            done = len(taken[name])
            if done >= most or (done >= least and spent[name] >= budget) or spent[name] >= LONGEST:
                going.remove(name)
    return taken


def _seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


class _CudaClock:
    """By events on the stream, with nothing of the call's in the GPU's L2 cache."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rubbish = torch.empty(256 << 20, dtype=torch.uint8, device=device)

    def __call__(self, step: Step) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.rubbish.zero_()
        torch.cuda.synchronize(self.device)
        start.record()
        step()
        end.record()
        torch.cuda.synchronize(self.device)
        return start.elapsed_time(end) / 1e3


def footprint(step: Step, device: torch.device) -> tuple[int, int]:
    """Of a call that is not the first: most bytes alive at once above those before it, and launches.

    Bytes as torch's allocator sees them, temporaries inside an operator included. Launches are kernels
    on a GPU, outermost aten operators on a CPU.
    """
    if device.type == "cuda":
        return _cuda_footprint(step, device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        step()
    results = profiler.profiler.kineto_results  # type: ignore[union-attr]
    changes = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for _, change in sorted(changes, key=lambda c: c[0]):
        alive += change
        peak = max(peak, alive)
    operators = 0
    for event in profiler.events():
        parent = event.cpu_parent
        operators += event.name.startswith("aten::") and not (parent and parent.name.startswith("aten::"))
    return peak, operators


def _cuda_footprint(step: Step, device: torch.device) -> tuple[int, int]:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiler:
        step()
        torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    return peak, sum(not event.name.startswith(("Memcpy", "Memset")) for event in on_gpu(profiler))


def on_gpu(profiler: profile) -> Iterator[FunctionEvent]:
    """What a GPU did, as the profiler saw it: kernels, copies and fills."""
    for event in profiler.events():
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            yield event


def host_seconds(step: Step, device: torch.device, calls: int) -> float:
    """Of the CPU to issue a call to a GPU that is idle at first, without waiting for what it started: the median of
    nine means over ``calls``, so few that no queue is full."""
    means = []
    for _ in range(9):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            step()
        means.append((time.perf_counter() - start) / calls)
    torch.cuda.synchronize(device)
    return median(means)


def bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of the fastest of some large copies on the device."""
    source = torch.zeros(COPIED[device.type], dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    taken = times({"copy": lambda: copy.copy_(source)}, device, budget=1.0)["copy"]
    return 2 * source.nbytes / min(taken)


def machine(device: torch.device) -> Machine:
    """What is measured on, with the bandwidth that it has now."""
    return described(device, bandwidth(device))
