"""A few columns of many records: cross-entropy and PAT beside the eager formulas, as Markdown."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..captions import digits, size
from ..markdown import table
from ..storage import read
from .contest import OURS
from .record import Record, Suite, place

DTYPE = "fp32"  # other dtypes are in the full tables
SHOWN = {"CrossEntropyLoss": "cross-entropy", "PATLoss": "PAT"}
REMEMBERED = "PATLoss"  # whose memory is shown


def markdown(files: Sequence[Path]) -> str:
    """files: each a record, or records of several sizes. Those that are not there are left out."""
    records = [r for file in files if file.exists() for r in _records(file) if r.dtype == DTYPE]
    if not records:
        return "Not measured yet.\n"
    head = ["logits"]
    for name in SHOWN.values():
        head += [f"{name}: ours, ms", "eager, ms"]
    head += [f"{SHOWN[REMEMBERED]}: ours, MiB", "eager, MiB"]
    places = "; ".join(dict.fromkeys(map(place, records)))
    return f"{places}:\n\n" + table(head, map(_cells, records))


def _records(file: Path) -> tuple[Record, ...]:
    several = "records" in json.loads(file.read_text())
    return read(file, Suite).records if several else (read(file, Record),)


def _cells(record: Record) -> Iterator[str]:
    yield f"{size(record.shape, record.source)}, {record.dtype}"
    for loss in SHOWN:
        ours, eager = record.cost(loss, OURS), record.cost(loss, ("eager",))
        yield digits(1e3 * ours.seconds) if ours else "-"
        yield f"{digits(1e3 * eager.seconds)} ({eager.seconds / ours.seconds:.1f}x)" if ours and eager else "-"
    for names in (OURS, ("eager",)):
        cost = record.cost(REMEMBERED, names)
        yield digits(cost.bytes / 2**20) if cost else "-"
