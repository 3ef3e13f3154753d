"""What the launches of a call take on a GPU, by the profiler, as a record and as Markdown."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..captions import size, system
from ..device import Machine
from ..markdown import table
from ..storage import read


@dataclass(frozen=True)
class Call:
    """Loss and gradient, once. shape (B, L, H, W) of the labels, source (h, w) of the logits.

    longest: microseconds of its longest launch; share: of that, what a copy of the floor's bytes takes; all: of its
    launches together.
    """

    loss: str
    shape: tuple[int, ...]
    source: tuple[int, ...]
    dtype: str
    longest: float
    share: float
    all: float
    launches: int


@dataclass(frozen=True)
class Host:
    """Microseconds of the CPU to issue a call, loss and gradient, of a size that the GPU keeps up with."""

    loss: str
    shape: tuple[int, ...]
    dtype: str
    microseconds: float


@dataclass(frozen=True)
class Kernels:
    """commit: of this project, that was measured. copied: bytes a second, read and written, of a copy."""

    machine: Machine
    commit: str
    copied: float
    calls: tuple[Call, ...]
    hosts: tuple[Host, ...]


def markdown(file: Path) -> str:
    """A line a size and dtype, a column a loss; and what calls cost the host."""
    kernels = read(file, Kernels)
    losses = list(dict.fromkeys(call.loss for call in kernels.calls))
    heading = f"{system(kernels.machine)}, commit {kernels.commit}; a copy: {kernels.copied / 1e12:.2f} TB/s"
    hosts = (
        (f"{host.loss}, {size(host.shape, host.shape[2:])}, {host.dtype}", f"{host.microseconds:.0f}")
        for host in kernels.hosts
    )
    launches = table(("", *losses), _rows(kernels, losses))
    return f"{heading}:\n\n{launches}\n" + table(("a call", "microseconds of the host"), hosts)


def _rows(kernels: Kernels, losses: list[str]) -> Iterator[list[str]]:
    found = {(call.shape, call.source, call.dtype, call.loss): call for call in kernels.calls}
    for shape, source, dtype in dict.fromkeys((call.shape, call.source, call.dtype) for call in kernels.calls):
        calls = [found.get((shape, source, dtype, loss)) for loss in losses]
        cells = [f"{c.longest:.0f} of {c.all:.0f} ({c.share:.2f})" if c else "-" for c in calls]
        yield [f"{size(shape, source)}, {dtype}", *cells]
