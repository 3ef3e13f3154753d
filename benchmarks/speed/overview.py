"""Records of many sizes as Markdown: a line a size, a column a loss."""

from collections.abc import Callable, Sequence

from ..captions import digits, size
from ..markdown import table
from .contest import LOSSES, OURS, RIVALS
from .record import Record, Suite, place

OTHERS = ("eager", *RIVALS)


def markdown(suite: Suite) -> str:
    if not suite.records:
        return "Nothing was measured.\n"
    parts = [
        f"{place(suite.records[0])}; loss + gradient.\n",
        f"Milliseconds of ours, and how many times as long {', '.join(OTHERS)} take:\n",
        _table(suite.records, _times),
    ]
    if any(row.host_seconds for record in suite.records for row in record.rows):
        parts += ["Microseconds of the host to issue a call, ours / eager:\n", _table(suite.records, _hosts)]
    parts += ["Most memory alive at once beyond the logits, in logits of full size, ours / eager:\n"]
    return "\n".join([*parts, _table(suite.records, _copies)])


def _table(records: Sequence[Record], cell: Callable[[Record, str], str]) -> str:
    shown = [loss for loss in LOSSES if any(row.loss == loss for record in records for row in record.rows)]
    head = ("", *(loss.removesuffix("Loss") for loss in shown))
    return table(head, ([f"{size(r.shape, r.source)}, {r.dtype}", *(cell(r, loss) for loss in shown)] for r in records))


def _times(record: Record, loss: str) -> str:
    ours = record.cost(loss, OURS)
    if ours is None:
        return "-"
    others = [record.cost(loss, (name,)) for name in OTHERS]
    while others and others[-1] is None:
        others.pop()
    times = ", ".join(f"{cost.seconds / ours.seconds:.1f}" if cost else "-" for cost in others)
    return digits(ours.seconds * 1e3) + (f" ({times})" if times else "")


def _hosts(record: Record, loss: str) -> str:
    rows = [record.row(loss, names) for names in (OURS, ("eager",))]
    return " / ".join(digits(row.host_seconds * 1e6) if row and row.host_seconds else "-" for row in rows)


def _copies(record: Record, loss: str) -> str:
    costs = [record.cost(loss, names) for names in (OURS, ("eager",))]
    return " / ".join(f"{cost.copies:.2f}" if cost else "-" for cost in costs)
