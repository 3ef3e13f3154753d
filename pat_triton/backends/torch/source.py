"""Where a chunk's logits come from and where its gradient goes: (L, *spatial) views, or resized on the way."""

import ctypes
import math
import sys
from typing import Protocol

import torch
from torch import Tensor

from ...resize import Resize
from .slices import WHOLE, Where, part_of, slices
from .taps import Taps, taps
from .threads import alone
from .workspace import Workspace

# Numbers in a chunk: of each pixel its logits, and some PER_PIXEL beside them. On a CPU they share the cache;
# elsewhere the bound is on memory alone.
CPU_CHUNK = 3 << 19
DEVICE_CHUNK = 1 << 24
PER_PIXEL = 10


class Source(Protocol):
    def read(self, where: Where, workspace: Workspace) -> Tensor:
        """The logits of the pixels ``where``: (L, images, *spatial)."""
        ...

    def gradient_of(self, where: Where, z: Tensor) -> Tensor:
        """Where the gradient of z, the chunk that was read, may be put."""
        ...

    def share(self, where: Where, z: Tensor, workspace: Workspace) -> Tensor | None:
        """What is to be added to the gradient, of a chunk whose gradient is in ``gradient_of``; None if it is there."""
        ...

    def add(self, where: Where, share: Tensor) -> None:
        """Add a chunk's share to the gradient, in the order of the chunks."""
        ...

    def gradient(self) -> Tensor:
        """The logits' gradient, when all chunks are added."""
        ...


class Dense:
    """Views of the logits and of their gradient."""

    def __init__(self, logits: Tensor, differentiate: bool) -> None:
        self.logits = logits
        self.total = _empty_like(logits) if differentiate else logits.new_empty(0)

    def read(self, where: Where, workspace: Workspace) -> Tensor:
        return _classes_first(self.logits, where)

    def gradient_of(self, where: Where, z: Tensor) -> Tensor:
        return _classes_first(self.total, where)

    def share(self, where: Where, z: Tensor, workspace: Workspace) -> None:
        return None

    def add(self, where: Where, share: Tensor) -> None:
        raise NotImplementedError

    def gradient(self) -> Tensor:
        return self.total


class Resized:
    """Each chunk is interpolated from the few nodes that it sees, and its gradient gathered back to them.

    Summed in the compute dtype, chunk after chunk.
    """

    def __init__(self, logits: Tensor, resize: Resize, compute: torch.dtype, differentiate: bool) -> None:
        self.logits, self.resize, self.compute = logits, resize, compute
        with alone(logits.device.type == "cpu"):  # torch's thread would spin for milliseconds where a helper could work
            self.total = torch.zeros_like(logits, dtype=compute) if differentiate else logits.new_empty(0)

    def _axes(self, where: Where) -> tuple[Taps, Taps]:
        rows, columns = (
            taps(axis, part, dim, self.compute, self.logits.device)
            for dim, axis, part in zip((-2, -1), self.resize, where[1:], strict=True)
        )
        return rows, columns

    def _nodes(self, whole: Tensor, where: Where) -> Tensor:
        rows, columns = self._axes(where)
        return _classes_first(whole, (where[0], rows.nodes, columns.nodes))

    def read(self, where: Where, workspace: Workspace) -> Tensor:
        rows, columns = self._axes(where)
        nodes = self._nodes(self.logits, where).to(self.compute, memory_format=torch.contiguous_format)
        finite = nodes.device.type == "cpu" and nodes.amin().item() > -torch.inf  # elsewhere the host would wait
        return rows.read(columns.read(nodes, workspace, finite), workspace, finite)

    def gradient_of(self, where: Where, z: Tensor) -> Tensor:
        return z

    def share(self, where: Where, z: Tensor, workspace: Workspace) -> Tensor:
        rows, columns = self._axes(where)
        return columns.write(rows.write(z, workspace), workspace).clone()  # the chunks before may not be added

    def add(self, where: Where, share: Tensor) -> None:
        self._nodes(self.total, where).add_(share)

    def gradient(self) -> Tensor:
        return self.total.to(self.logits.dtype)


def _classes_first(z: Tensor, where: Where) -> Tensor:
    """A view (L, images, *spatial) of (B, L, *spatial)."""
    images, *pixels = where
    return part_of(z, (images, WHOLE, *pixels)).transpose(0, 1)


def chunks(logits: Tensor, size: torch.Size, cost: int = 1) -> list[Where]:
    """Slices that cover the images and their pixels ``size`` in chunks of bounded memory; cost: of an element."""
    limit = (CPU_CHUNK if logits.device.type == "cpu" else DEVICE_CHUNK) // (logits.shape[1] + PER_PIXEL)
    if cost > 1:
        limit //= 2  # the words of the noise share the cache
    pixels = len(logits) * math.prod(size)
    if logits.shape[2:] != size:
        # Nodes and their slopes share the cache, and a chunk of a smaller size reads more source than it has pixels.
        limit //= 2 * max(1, math.prod(logits.shape[2:]) // max(1, math.prod(size)))
    elif cost * pixels < 2 * limit:
        limit = pixels  # two would take twice as many operators, and with so little work nobody helps
    return slices((len(logits), *size), max(1, limit))


_HUGE_PAGES = 14  # MADV_HUGEPAGE
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _empty_like(logits: Tensor) -> Tensor:
    """``torch.empty_like``, backed by huge pages where Linux grants them.

    The gradient is fresh memory at every step; touching it 4 KiB at a time costs as much as the
    rest of the loss.
    """
    out = torch.empty_like(logits)
    if _LIBC is not None and out.device.type == "cpu" and out.nbytes >= 1 << 22:
        start = -(-out.data_ptr() // 4096) * 4096
        length = (out.data_ptr() + out.nbytes - start) // 4096 * 4096
        _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _HUGE_PAGES)
    return out
