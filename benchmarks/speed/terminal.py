"""A run on the terminal."""

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table

from ..captions import digits
from .contest import BASE
from .record import Growth, Record, Row, place, title
from .timing import LEAST

WIDTH = 150  # of the table; a narrower terminal wraps its lines rather than lose columns


def console() -> Console:
    return Console(width=max(WIDTH, Console().width))


def show(record: Record) -> Group:
    """The table, and why some were not run."""
    on_gpu = record.machine.capability is not None
    table = Table(
        title=title(record),
        caption="ms: median and quartiles, with the number of calls if few. x ours: of the time of ours; x base: of "
        f"F.cross_entropy's. GB/s: of the floor of {record.floor_bytes / 1e6:.1f} MB, logits and labels read, gradient "
        "written once. "
        f"% copy: of the {record.machine.bandwidth / 1e9:.1f} GB/s, read and written, of a large copy. "
        "memory: most alive at once beyond the logits, in logits of full size. errors: relative, against fp64, the "
        "gradient's by L2 norm",
        caption_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("loss", no_wrap=True)
    table.add_column("", no_wrap=True)
    measures = ("ms", "quartiles", "x ours", "x base", "GB/s", "% copy", "memory", "gradient error", "loss error")
    for column in (*measures, "kernels" if on_gpu else "aten ops", *(["host us"] if on_gpu else [])):
        table.add_column(column, justify="right")
    shown = None
    for row in record.rows:
        table.add_row("" if row.loss == shown else row.loss, row.contestant, *_cells(record, row))
        shown = row.loss
    reasons = (f"{row.loss}, {row.contestant}: not run: {row.not_run}" for row in record.rows if row.not_run)
    return Group(table, *reasons)


def _cells(record: Record, row: Row) -> list[str]:
    cost, base = row.cost, record.cost(BASE, ("eager",))
    if cost is None:
        return ["not run"]
    few = f" ({cost.repeats})" if cost.repeats < LEAST else ""
    speed = record.floor_bytes / cost.seconds
    return [
        digits(cost.seconds * 1e3),
        f"{digits(cost.low * 1e3)}-{digits(cost.high * 1e3)}{few}",
        f"{cost.seconds / record.ours(row.loss).seconds:.2f}",
        f"{cost.seconds / base.seconds:.2f}" if base else "-",
        digits(speed / 1e9),
        f"{100 * speed / record.machine.bandwidth:.0f}",
        f"{cost.copies:.2f}",
        "other draw" if row.gradient_error is None else f"{row.gradient_error:.1e}",
        f"{row.loss_error:.1e}",
        str(cost.launches),
        "" if row.host_seconds is None else f"{row.host_seconds * 1e6:.0f}",
    ][: 11 if record.machine.capability else 10]


def show_growth(growth: Growth) -> Table:
    first = growth.records[0]
    table = Table(title=f"ms over {growth.over}, {first.dtype}, {place(first)}", box=SIMPLE)
    table.add_column("B x L x H x W")
    contestants = [(row.loss, row.contestant) for row in first.rows]
    for loss, name in contestants:
        table.add_column(f"{loss}, {name}", justify="right")
    for record in growth.records:
        costs = [record.cost(loss, (name,)) for loss, name in contestants]
        cells = [digits(cost.seconds * 1e3) if cost else "not run" for cost in costs]
        table.add_row("x".join(map(str, record.shape)), *cells)
    return table
