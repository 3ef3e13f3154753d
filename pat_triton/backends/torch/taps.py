"""How a chunk of outputs reads the nodes of one axis, and gives its gradient back to them."""

import torch
from torch import Tensor

from ...resize import Axis
from .kept import kept
from .workspace import Workspace


def taps(axis: Axis, part: slice, dim: int, dtype: torch.dtype, device: torch.device) -> "Taps":
    """Kept from step to step: to make them takes longer than to use them."""
    start, stop, _ = part.indices(axis.size)
    return _taps(axis, start, stop, dim, dtype, device)


@kept(512)
def _taps(axis: Axis, start: int, stop: int, dim: int, dtype: torch.dtype, device: torch.device) -> "Taps":
    return Taps(axis, start, stop, dim, dtype, device)


class Taps:
    """How the outputs from ``start`` to ``stop`` of an axis, dimension -2 or -1, read its nodes, and how they write to
    them.

    nodes: the slice of the source that they see; all indices below count from its start.
    each: outputs that an interval has, where all have as many and are rows: they read its two nodes at once, and so do
    those beside the chunk that share its first or last interval, ``before`` and ``after``. Else 1, and every output
    reads for itself.
    """

    def __init__(self, axis: Axis, start: int, stop: int, dim: int, dtype: torch.dtype, device: torch.device) -> None:
        self.dim = dim
        intervals = [(d * axis.step + axis.first) // axis.whole for d in (start, stop - 1)]
        last = axis.source - 1
        self.nodes = slice(max(intervals[0], 0), min(intervals[1] + 1, last) + 1)

        self.each, self.before, self.after = 1, 0, 0
        span = torch.arange(intervals[0], intervals[1] + 2, device=device)
        outputs = axis.whole // axis.step * (len(span) - 1)
        if dim == -2 and axis.whole % axis.step == 0 and outputs <= 2 * (stop - start):
            first = -((axis.first - intervals[0] * axis.whole) // axis.step)
            self.each, self.before, self.after = axis.whole // axis.step, start - first, first + outputs - stop
        number = torch.arange(start - self.before, stop + self.after, device=device) * axis.step + axis.first
        interval = number.div(axis.whole, rounding_mode="floor")
        weight = (number - interval * axis.whole).to(dtype) / axis.whole
        # Cells that reach over an end are flat to read, and give all to their one node.
        inner = (interval >= 0) & (interval < last)
        self.low = (interval.clamp(0, last) - self.nodes.start)[:: self.each]
        # The last slope is 0.
        self.slope = torch.where(inner[:: self.each], self.low, self.nodes.stop - self.nodes.start - 1)
        self.weight = self._along(weight[: self.each] if self.each > 1 else weight)
        weight = torch.where(inner, weight, (interval < 0).to(dtype))

        # The k-th output of every interval, for each k: (outputs, their first and second node's weights).
        begin = torch.searchsorted(interval, span)
        turn = torch.arange(min(axis.outputs_per_interval, len(number)), device=device)[:, None]
        output, end = begin[:-1] + turn, begin[1:]
        there = output < end
        # Where an interval has no k-th output its last stands in: weight 0 times another interval's nan would be nan.
        output = torch.minimum(output, end - 1).clamp_(min=0)
        second = weight[output]
        weights = torch.where(there, 1 - second, 0.0), torch.where(there, second, 0.0)
        self.turns = [(of_turn, *map(self._along, pair)) for of_turn, *pair in zip(output, *weights, strict=True)]
        self.empty = self._along(~there[0]) if axis.step > axis.whole else None
        # The nodes that lie outside the source are given nothing.
        self.inside = slice(int(intervals[0] < 0), len(span) - int(intervals[1] == last))

    def read(self, z: Tensor, workspace: Workspace, finite: bool) -> Tensor:
        """Nodes (..., rows, columns) -> outputs; they lie in ``workspace``. finite: no node is -inf."""
        dim = self.dim
        slope = workspace.take(f"slope {dim}", z.shape, z)
        rest = z.shape[dim] - 1
        first, second = z.narrow(dim, 0, rest), z.narrow(dim, 1, rest)
        torch.sub(second, first, out=slope.narrow(dim, 0, rest))
        slope.narrow(dim, rest, 1).zero_()
        if not finite:
            slope.masked_fill_(z == -torch.inf, 0)  # -inf stays so towards any neighbour
        low, slope = self._pick(workspace, "low", z, self.low), self._pick(workspace, "rise", slope, self.slope)
        if self.each == 1:
            return low.addcmul_(slope, self.weight)
        outputs = self._outputs(z, workspace)
        torch.addcmul(low.unsqueeze(-2), slope.unsqueeze(-2), self.weight, out=outputs)
        rows = outputs.flatten(-3, -2)
        return rows.narrow(-2, self.before, rows.shape[-2] - self.before - self.after)

    def write(self, g: Tensor, workspace: Workspace) -> Tensor:
        """The transpose of ``read``: outputs -> nodes, each the weighted sum of the outputs that see it. g lies where
        ``read`` put the outputs.

        Every addition has its place in a fixed order, on every device.
        """
        intervals = len(self.turns[0][0])
        total = workspace.take(f"total {self.dim}", self._with_length(g, intervals + 1), g).zero_()
        nodes = total.narrow(self.dim, 0, intervals), total.narrow(self.dim, 1, intervals)
        parts = None if self.each == 1 else self._all_outputs(g, workspace).unbind(-2)
        for k, (output, *weights) in enumerate(self.turns):
            part = self._pick(workspace, "turn", g, output) if parts is None else parts[k]
            if self.empty is not None:
                part.masked_fill_(self.empty, 0)
            for node, weight in zip(nodes, weights, strict=True):
                node.addcmul_(part, weight)
        return total.narrow(self.dim, self.inside.start, self.inside.stop - self.inside.start)

    def _outputs(self, z: Tensor, workspace: Workspace) -> Tensor:
        """Memory (..., intervals, each, columns), the same for both directions, of nodes or outputs z."""
        *others, _, columns = z.shape
        return workspace.take("outputs", (*others, len(self.low), self.each, columns), z)

    def _all_outputs(self, g: Tensor, workspace: Workspace) -> Tensor:
        """g where it lies, with 0 for what is beside the chunk."""
        outputs = self._outputs(g, workspace)
        rows = outputs.flatten(-3, -2)
        rows.narrow(-2, 0, self.before).zero_()
        rows.narrow(-2, rows.shape[-2] - self.after, self.after).zero_()
        return outputs

    def _pick(self, workspace: Workspace, name: str, z: Tensor, index: Tensor) -> Tensor:
        """``z.index_select(dim, index)`` of (..., rows, columns)."""
        out = workspace.take(f"{name} {self.dim}", self._with_length(z, len(index)), z)
        if self.dim == -1:  # along the innermost dimension gather is ten times faster
            return torch.gather(z, -1, index.expand(out.shape), out=out)
        return torch.index_select(z, -2, index, out=out)

    def _with_length(self, z: Tensor, length: int) -> list[int]:
        shape = list(z.shape)
        shape[self.dim] = length
        return shape

    def _along(self, table: Tensor) -> Tensor:
        """(..., n), to be multiplied along ``dim``."""
        return table if self.dim == -1 else table.unsqueeze(-1)
