"""The figures of the README, from the committed records: ``numbers``."""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from . import catalogue, kernels, overview, roofline
from .captions import digits, title
from .contest import OURS
from .gpu import tiles
from .markdown import table
from .paper import figure5, tables
from .paper.results import read_all
from .record import Record, Suite, read

README = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).parent / "results"
BLOCK = re.compile(r"(<!-- figures (\S+) -->\n).*?(<!-- end -->)", re.S)
CATALOGUE = re.compile(r"(<!-- losses -->\n).*?(<!-- end -->)", re.S)
RIVALS = ("eager", "compiled", "released")
SPECIAL: dict[str, Callable[[Path], str]] = {
    "roofline.json": roofline.markdown,
    "cpu-figure5.json": figure5.markdown,
    "cuda-kernels.json": kernels.markdown,
    **dict.fromkeys(("cpu-speed.json", "cuda-speed.json"), lambda file: overview.markdown(read(file, Suite))),
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("numbers", help="rewrite the README's tables from benchmarks/results")
    parser.set_defaults(run=rewrite)


def rewrite(_: argparse.Namespace) -> None:
    README.write_text(filled(README.read_text()))


def filled(text: str) -> str:
    """The text with each block between ``<!-- figures FILE -->`` and ``<!-- end -->`` as its record gives it, and the
    table of the losses after ``<!-- losses -->``."""
    text = BLOCK.sub(lambda found: found[1] + markdown(RESULTS / found[2]) + found[3], text)
    return CATALOGUE.sub(lambda found: found[1] + catalogue.markdown() + found[2], text)


def markdown(file: Path) -> str:
    """A record as a table, a line a loss."""
    if not file.exists():
        return "Not measured yet.\n"
    if file.is_dir():
        return tables.markdown(read_all(file))
    if file.suffix == ".jsonl":
        return tiles.markdown(file)
    if file.name in SPECIAL:
        return SPECIAL[file.name](file)
    record = read(file, Record)
    head = ("", "ours, ms", *(f"{name}, ms" for name in RIVALS), "memory", "gradient error")
    losses = dict.fromkeys(row.loss for row in record.rows)
    return f"{title(record)}:\n\n" + table(head, (_cells(record, loss) for loss in losses))


def _cells(record: Record, loss: str) -> Iterator[str]:
    ours = record.ours(loss)
    yield loss
    yield f"{digits(ours.seconds * 1e3)} ({digits(ours.low * 1e3)}-{digits(ours.high * 1e3)})"
    rivals = [record.cost(loss, (name,)) for name in RIVALS]
    for cost in rivals:
        yield f"{digits(cost.seconds * 1e3)} = {cost.seconds / ours.seconds:.1f}x" if cost else "-"
    yield " / ".join(f"{cost.copies:.2f}" if cost else "-" for cost in (ours, *rivals))
    rows = [record.row(loss, names) for names in (OURS, *((name,) for name in RIVALS))]
    yield " / ".join(f"{row.gradient_error:.0e}" if row and row.gradient_error is not None else "-" for row in rows)
