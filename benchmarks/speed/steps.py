"""What loss and gradient together take a GPU, behind a full queue, as Markdown."""

import json
from pathlib import Path

from ..captions import system
from ..device import Machine
from ..markdown import table


def markdown(file: Path) -> str:
    """A line a size and dtype, a column a loss."""
    saved = json.loads(file.read_text())
    losses = list(dict.fromkeys(row["loss"] for row in saved["rows"]))
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in saved["rows"]:
        found.setdefault((row["logits"], row["labels"], row["dtype"]), {})[row["loss"]] = f"{row['us']:.0f}"
    lines = (
        [
            f"{logits}, {dtype}" if logits.endswith(f"x{labels}") else f"{logits} to {labels}, {dtype}",
            *(cells.get(loss, "-") for loss in losses),
        ]
        for (logits, labels, dtype), cells in found.items()
    )
    heading = f"{system(Machine(**saved['machine']))}, commit {saved['commit']}; microseconds:"
    return f"{heading}\n\n" + table(("", *losses), lines)
