"""What a run found, to be written and read back by ``storage``, and how it is called wherever it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..captions import size, system
from ..device import Machine
from .contest import OURS
from .cost import Cost


@dataclass(frozen=True)
class Row:
    """One contestant: its cost, or why it was not run.

    Errors are relative to the fp64 truth, the gradient's by L2 norm and None for noise of another draw.
    host_seconds: of the CPU, to issue a call to a GPU.
    """

    loss: str
    contestant: str
    not_run: str | None = None
    cost: Cost | None = None
    loss_error: float | None = None
    gradient_error: float | None = None
    host_seconds: float | None = None


@dataclass(frozen=True)
class Record:
    """shape (B, L, H, W) of the labels, source (h, w) of the logits; floor_bytes: moved by any loss at least.
    load: busy processes of another program beside it, none before there was the option."""

    job: str
    name: str
    shape: tuple[int, ...]
    source: tuple[int, ...]
    dtype: str
    floor_bytes: int
    machine: Machine
    rows: tuple[Row, ...]
    load: int = 0

    def row(self, loss: str, contestants: Sequence[str]) -> Row | None:
        """Of the first of the contestants that ran."""
        rows = {row.contestant: row for row in self.rows if row.loss == loss and row.cost}
        return next((rows[name] for name in contestants if name in rows), None)

    def cost(self, loss: str, contestants: Sequence[str]) -> Cost | None:
        row = self.row(loss, contestants)
        return row.cost if row else None

    def ours(self, loss: str) -> Cost:
        cost = self.cost(loss, OURS)
        assert cost is not None  # a run in which ours fails has no record
        return cost


@dataclass(frozen=True)
class Growth:
    """Records over one variable: "pixels" of an image or "classes"."""

    over: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Suite:
    """Records of several sizes and dtypes, from one machine."""

    records: tuple[Record, ...]


def title(record: Record) -> str:
    """What was measured, on what and when."""
    load = f", beside {record.load} busy process{'es' * (record.load > 1)}" if record.load else ""
    return f"{size(record.shape, record.source)}, {record.dtype}, loss + gradient, {place(record)}{load}"


def place(record: Record) -> str:
    return system(record.machine)
