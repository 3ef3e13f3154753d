"""Where a chunk's logits come from and where its gradient goes: (L, *spatial) views, or resized on the way."""

import ctypes
import math
import sys
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from ..resize import Resize
from .room import Room
from .taps import Taps

# Elements of the logits in a chunk. On a CPU the chunk and its per-pixel vectors share the cache;
# elsewhere the bound is on memory alone.
CPU_CHUNK = 1 << 20
DEVICE_CHUNK = 1 << 24

# Of images, and of each spatial dimension.
Where = tuple[slice, ...]


class Source(Protocol):
    def read(self, where: Where) -> Tensor:
        """The logits of the pixels ``where``: (L, images, *spatial)."""
        ...

    def room(self, where: Where) -> Tensor:
        """Where the gradient of the chunk just read may be put."""
        ...

    def write(self, where: Where) -> None:
        """The room holds the gradient."""
        ...

    def gradient(self) -> Tensor:
        """The logits' gradient, when all chunks are written."""
        ...


class Dense:
    """Views of the logits and of their gradient."""

    def __init__(self, logits: Tensor, differentiate: bool) -> None:
        self.logits = logits
        self.total = _empty_like(logits) if differentiate else logits.new_empty(0)

    def read(self, where: Where) -> Tensor:
        return _classes_first(self.logits, where)

    def room(self, where: Where) -> Tensor:
        return _classes_first(self.total, where)

    def write(self, where: Where) -> None:
        pass

    def gradient(self) -> Tensor:
        return self.total


class Resized:
    """Each chunk is interpolated from the few nodes that it sees, and its gradient gathered back to them.

    Summed in the compute dtype, chunk after chunk.
    """

    def __init__(
        self, logits: Tensor, resize: Resize, compute: torch.dtype, differentiate: bool, scratch: Room
    ) -> None:
        self.logits, self.resize, self.compute, self.scratch = logits, resize, compute, scratch
        self.total = torch.zeros_like(logits, dtype=compute) if differentiate else logits.new_empty(0)
        self.taps: dict[tuple[int, int, int], Taps] = {}

    def _axes(self, where: Where) -> tuple[Taps, Taps]:
        # Every image is cut alike.
        rows, columns = (self._tap(d, part) for d, part in enumerate(where[1:]))
        return rows, columns

    def _tap(self, d: int, part: slice) -> Taps:
        start, stop, _ = part.indices(self.resize[d].size)
        if (d, start, stop) not in self.taps:
            self.taps[d, start, stop] = Taps(self.resize[d], part, self.compute, self.logits.device)
        return self.taps[d, start, stop]

    def read(self, where: Where) -> Tensor:
        rows, columns = self._axes(where)
        nodes = _classes_first(self.logits, (where[0], rows.nodes, columns.nodes))
        nodes = nodes.to(self.compute, memory_format=torch.contiguous_format)
        self.chunk = rows.read(columns.read(nodes, -1, self.scratch), -2, self.scratch)
        return self.chunk

    def room(self, where: Where) -> Tensor:
        return self.chunk

    def write(self, where: Where) -> None:
        rows, columns = self._axes(where)
        nodes = _classes_first(self.total, (where[0], rows.nodes, columns.nodes))
        nodes += columns.write(rows.write(self.chunk, -2, self.scratch), -1, self.scratch)

    def gradient(self) -> Tensor:
        return self.total.to(self.logits.dtype)


def _classes_first(z: Tensor, where: Where) -> Tensor:
    """A view (L, images, *spatial) of (B, L, *spatial)."""
    images, *pixels = where
    return z[images, :, *pixels].transpose(0, 1)


def chunks(logits: Tensor, size: torch.Size) -> Iterator[Where]:
    """Slices that cover the images and their pixels ``size`` in chunks of bounded memory."""
    limit = CPU_CHUNK if logits.device.type == "cpu" else DEVICE_CHUNK
    if logits.shape[2:] != size:
        # Two more buffers share the cache, and a chunk of a smaller size reads more source than it has pixels.
        limit //= 2 * max(1, math.prod(logits.shape[2:]) // max(1, math.prod(size)))
    return _slices((len(logits), *size), max(1, limit // logits.shape[1]))


def _slices(shape: tuple[int, ...], pixels: int) -> Iterator[Where]:
    first, rest = shape[0], shape[1:]
    inner = math.prod(rest)
    if not first or not inner:
        return
    step = -(-first // -(-first // max(1, pixels // inner)))  # of one size, but for the last
    within = list(_slices(rest, pixels)) if rest and inner > pixels else [tuple(slice(0, n) for n in rest)]
    for start in range(0, first, step):
        for others in within:
            yield (slice(start, min(start + step, first)), *others)


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
