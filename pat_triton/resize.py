"""Bilinear resizing as ``F.interpolate`` does it, one axis at a time, in exact rational coordinates.

Output ``d`` of an axis lies at source coordinate ``(d * step + first) / whole``. The integer part is
its cell: the space between nodes ``cell`` and ``cell + 1`` of the source. The fraction is the share of
the second node. Outputs beyond the first or last node lie in a cell with one node inside the
source, whose share is all.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Axis(NamedTuple):
    """source and size: the length before and after; the rest is the map described above."""

    source: int
    size: int
    step: int
    first: int
    whole: int

    @property
    def crowd(self) -> int:
        """The most outputs in one cell."""
        return min(-(-self.whole // self.step), max(self.size, 1))


def axis(source: int, size: int, align_corners: bool) -> Axis:
    if size == 0:
        return Axis(source, size, 1, 0, 1)
    if not align_corners:
        return Axis(source, size, 2 * source, source - size, 2 * size)
    if source == 1:  # every output sees the only node
        return Axis(source, size, 1, 0, size)
    if size == 1:  # the only output is the first node
        return Axis(source, size, 1, 0, 1)
    return Axis(source, size, source - 1, 0, size - 1)


class Resize(NamedTuple):
    rows: Axis
    columns: Axis


def resize(source: torch.Size, size: torch.Size, align_corners: bool) -> Resize | None:
    """How logits of spatial size ``source`` reach ``size``; None if they have it."""
    if source == size:
        return None
    rows, columns = (axis(n, m, align_corners) for n, m in zip(source, size, strict=True))
    return Resize(rows, columns)


class Taps:
    """How the outputs ``part`` of an axis read its nodes, and how they write to them.

    nodes: the slice of the source that they see; all indices below count from its start.
    """

    def __init__(self, axis: Axis, part: slice, dtype: torch.dtype, device: torch.device) -> None:
        start, stop, _ = part.indices(axis.size)
        cells = [(d * axis.step + axis.first) // axis.whole for d in (start, stop - 1)]
        last = axis.source - 1
        self.nodes = slice(max(cells[0], 0), min(cells[1] + 1, last) + 1)

        number = torch.arange(start, stop, device=device) * axis.step + axis.first
        cell = number.div(axis.whole, rounding_mode="floor")
        share = (number - cell * axis.whole).to(dtype) / axis.whole
        # Cells that reach over an end are flat to read, and give all to their one node.
        inner = (cell >= 0) & (cell < last)
        self.low = cell.clamp(0, last) - self.nodes.start
        # The last slope is 0.
        self.slope = torch.where(inner, self.low, self.nodes.stop - self.nodes.start - 1)
        self.rise = share
        share = torch.where(inner, share, (cell < 0).to(dtype))

        # The k-th output of every cell, for each k: (outputs, their first and second node's weights).
        span = torch.arange(cells[0], cells[1] + 2, device=device)
        begin = torch.searchsorted(cell, span)
        turn = torch.arange(min(axis.crowd, stop - start), device=device)[:, None]
        output, end = begin[:-1] + turn, begin[1:]
        there = output < end
        # Where there is no k-th output of the cell its last stands in: weight 0 times another cell's nan is nan.
        output = torch.minimum(output, end - 1).clamp_(min=0)
        second = share[output]
        weights = torch.where(there, 1 - second, 0.0), torch.where(there, second, 0.0)
        self.turns = list(zip(output, *weights, strict=True))
        self.empty = ~there[0] if axis.step > axis.whole else None
        # The nodes that lie outside the source are given nothing.
        self.inside = slice(int(cells[0] < 0), len(span) - int(cells[1] == last))

    def read(self, z: Tensor, dim: int, room: "Room") -> Tensor:
        """Nodes (L, ...) -> outputs, along ``dim``; they lie in ``room``."""
        slope = room.take("slope", z, dim, z.shape[dim])
        rest = z.shape[dim] - 1
        first, second = z.narrow(dim, 0, rest), z.narrow(dim, 1, rest)
        torch.sub(second, first, out=slope.narrow(dim, 0, rest))
        slope.narrow(dim, rest, 1).zero_()
        slope.masked_fill_(z == -torch.inf, 0)  # -inf stays so towards any neighbour
        low = room.pick("low", z, self.low, dim)
        return low.addcmul_(room.pick("rise", slope, self.slope, dim), _along(self.rise, dim))

    def write(self, g: Tensor, dim: int, room: "Room") -> Tensor:
        """The transpose of ``read``: outputs -> nodes, each the weighted sum of the outputs that see it.

        Every addition has its place in a fixed order, on every device.
        """
        cells = len(self.turns[0][0])
        total = room.take("total", g, dim, cells + 1).zero_()
        first, second = total.narrow(dim, 0, cells), total.narrow(dim, 1, cells)
        for output, *weights in self.turns:
            part = room.pick("turn", g, output, dim)
            if self.empty is not None:
                part.masked_fill_(_along(self.empty, dim), 0)
            for nodes, weight in zip((first, second), weights, strict=True):
                nodes.addcmul_(part, _along(weight, dim))
        return total.narrow(dim, self.inside.start, self.inside.stop - self.inside.start)


class Room:
    """Memory used again from chunk to chunk: fresh pages cost more than what is written to them."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, int], Tensor] = {}

    def take(self, name: str, z: Tensor, dim: int, length: int) -> Tensor:
        """Of z's shape but for ``length`` along ``dim``; valid until the name is taken again along ``dim``."""
        shape = list(z.shape)
        shape[dim] = length
        size = math.prod(shape)
        held = self.held.get((name, dim))
        if held is None or held.numel() < size:
            held = self.held[name, dim] = z.new_empty(size)
        return held[:size].view(shape)

    def pick(self, name: str, z: Tensor, index: Tensor, dim: int) -> Tensor:
        """``z.index_select(dim, index)`` of (L, rows, columns)."""
        if torch.compiler.is_compiling():  # Dynamo cannot trace out=
            return z.index_select(dim, index)
        out = self.take(name, z, dim, len(index))
        if dim == -1:  # along the innermost dimension gather is ten times faster
            return torch.gather(z, -1, index.expand(out.shape), out=out)
        return torch.index_select(z, dim, index, out=out)


def _along(table: Tensor, dim: int) -> Tensor:
    return table if dim == -1 else table[:, None]
