"""What the kernels of a call take on a GPU, as a record and as Markdown."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .captions import size, system
from .device import Machine
from .markdown import table
from .storage import read


@dataclass(frozen=True)
class Launch:
    """Of a call: how often a kernel was started, and its microseconds in all, by the profiler."""

    kernel: str
    count: int
    microseconds: float


@dataclass(frozen=True)
class Call:
    """Loss and gradient, or a prediction, once. shape (B, L, H, W) of the labels, source (h, w) of the logits.

    floor: microseconds of a copy of the bytes that must be moved. queued: microseconds of the GPU for a call among
    others, so that it never waits for the host.
    """

    loss: str
    shape: tuple[int, ...]
    source: tuple[int, ...]
    dtype: str
    floor: float
    queued: float
    launches: tuple[Launch, ...]

    @property
    def longest(self) -> float:
        """Microseconds of the kernel that takes most."""
        return max(launch.microseconds / launch.count for launch in self.launches)


@dataclass(frozen=True)
class Kernels:
    """commit: of this project, that was measured."""

    machine: Machine
    commit: str
    calls: tuple[Call, ...]


def markdown(file: Path) -> str:
    """A line a size and dtype, a column a call."""
    kernels = read(file, Kernels)
    losses = list(dict.fromkeys(call.loss for call in kernels.calls))
    copied = f"a copy: {kernels.machine.bandwidth / 1e12:.2f} TB/s"
    return f"{system(kernels.machine)}, commit {kernels.commit}; {copied}:\n\n" + table(
        ("", *losses), _rows(kernels, losses)
    )


def _rows(kernels: Kernels, losses: list[str]) -> Iterator[list[str]]:
    found = {(call.shape, call.source, call.dtype, call.loss): call for call in kernels.calls}
    for shape, source, dtype in dict.fromkeys((call.shape, call.source, call.dtype) for call in kernels.calls):
        calls = [found.get((shape, source, dtype, loss)) for loss in losses]
        cells = [f"{c.longest:.0f} of {c.queued:.0f} ({c.floor / c.longest:.2f})" if c else "-" for c in calls]
        yield [f"{size(shape, source)}, {dtype}", *cells]
