"""How a chunk of outputs reads the nodes of one axis, and gives its gradient back to them."""

import torch
from torch import Tensor

from ...resize import Axis
from .kept import kept
from .workspace import Workspace


def taps(axis: Axis, part: slice, dtype: torch.dtype, device: torch.device) -> "Taps":
    """Kept from step to step: to make them takes longer than to use them."""
    start, stop, _ = part.indices(axis.size)
    return _taps(axis, start, stop, dtype, device)


@kept(512)
def _taps(axis: Axis, start: int, stop: int, dtype: torch.dtype, device: torch.device) -> "Taps":
    return Taps(axis, start, stop, dtype, device)


class Taps:
    """How the outputs from ``start`` to ``stop`` of an axis read its nodes, and how they write to them.

    nodes: the slice of the source that they see; all indices below count from its start.
    """

    def __init__(self, axis: Axis, start: int, stop: int, dtype: torch.dtype, device: torch.device) -> None:
        intervals = [(d * axis.step + axis.first) // axis.whole for d in (start, stop - 1)]
        last = axis.source - 1
        self.nodes = slice(max(intervals[0], 0), min(intervals[1] + 1, last) + 1)

        number = torch.arange(start, stop, device=device) * axis.step + axis.first
        interval = number.div(axis.whole, rounding_mode="floor")
        weight = (number - interval * axis.whole).to(dtype) / axis.whole
        # Cells that reach over an end are flat to read, and give all to their one node.
        inner = (interval >= 0) & (interval < last)
        self.low = interval.clamp(0, last) - self.nodes.start
        # The last slope is 0.
        self.slope = torch.where(inner, self.low, self.nodes.stop - self.nodes.start - 1)
        self.weight = weight
        weight = torch.where(inner, weight, (interval < 0).to(dtype))

        # The k-th output of every interval, for each k: (outputs, their first and second node's weights).
        span = torch.arange(intervals[0], intervals[1] + 2, device=device)
        begin = torch.searchsorted(interval, span)
        turn = torch.arange(min(axis.outputs_per_interval, stop - start), device=device)[:, None]
        output, end = begin[:-1] + turn, begin[1:]
        there = output < end
        # Where an interval has no k-th output its last stands in: weight 0 times another interval's nan would be nan.
        output = torch.minimum(output, end - 1).clamp_(min=0)
        second = weight[output]
        weights = torch.where(there, 1 - second, 0.0), torch.where(there, second, 0.0)
        self.turns = list(zip(output, *weights, strict=True))
        self.empty = ~there[0] if axis.step > axis.whole else None
        # The nodes that lie outside the source are given nothing.
        self.inside = slice(int(intervals[0] < 0), len(span) - int(intervals[1] == last))

    def read(self, z: Tensor, dim: int, workspace: Workspace, finite: bool) -> Tensor:
        """Nodes (..., rows, columns) -> outputs, along ``dim``, -2 or -1; they lie in ``workspace``. finite: no node is
        -inf."""
        slope = workspace.take(f"slope {dim}", z.shape, z)
        rest = z.shape[dim] - 1
        first, second = z.narrow(dim, 0, rest), z.narrow(dim, 1, rest)
        torch.sub(second, first, out=slope.narrow(dim, 0, rest))
        slope.narrow(dim, rest, 1).zero_()
        if not finite:
            slope.masked_fill_(z == -torch.inf, 0)  # -inf stays so towards any neighbour
        low = _pick(workspace, "low", z, self.low, dim)
        return low.addcmul_(_pick(workspace, "weight", slope, self.slope, dim), _along(self.weight, dim))

    def write(self, g: Tensor, dim: int, workspace: Workspace) -> Tensor:
        """The transpose of ``read``: outputs -> nodes, each the weighted sum of the outputs that see it.

        Every addition has its place in a fixed order, on every device.
        """
        intervals = len(self.turns[0][0])
        total = workspace.take(f"total {dim}", _with_length(g, dim, intervals + 1), g).zero_()
        first, second = total.narrow(dim, 0, intervals), total.narrow(dim, 1, intervals)
        for output, *weights in self.turns:
            part = _pick(workspace, "turn", g, output, dim)
            if self.empty is not None:
                part.masked_fill_(_along(self.empty, dim), 0)
            for nodes, weight in zip((first, second), weights, strict=True):
                nodes.addcmul_(part, _along(weight, dim))
        return total.narrow(dim, self.inside.start, self.inside.stop - self.inside.start)


def _with_length(z: Tensor, dim: int, length: int) -> list[int]:
    shape = list(z.shape)
    shape[dim] = length
    return shape


def _pick(workspace: Workspace, name: str, z: Tensor, index: Tensor, dim: int) -> Tensor:
    """``z.index_select(dim, index)`` of (..., rows, columns)."""
    if torch.compiler.is_compiling():  # Dynamo cannot trace out=
        return z.index_select(dim, index)
    out = workspace.take(f"{name} {dim}", _with_length(z, dim, len(index)), z)
    if dim == -1:  # along the innermost dimension gather is ten times faster
        return torch.gather(z, -1, index.expand(out.shape), out=out)
    return torch.index_select(z, dim, index, out=out)


def _along(table: Tensor, dim: int) -> Tensor:
    return table if dim == -1 else table[:, None]
