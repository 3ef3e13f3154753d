"""The figures of every README, from the committed records: ``numbers``.

A section of a README between ``<!-- KIND NAMES -->`` and ``<!-- end -->`` is generated. The names are files or folders
of ``benchmarks/results``; ``KINDS`` says what each kind of section shows of them.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import loss_table, profiled
from .captions import digits
from .codegen import roofline
from .markdown import table
from .paper import choice, figure5, published, scores
from .paper.run_files import read_all
from .places import RESULTS, ROOT
from .speed import host, overview, summary
from .speed.contest import OURS
from .speed.gpu import tiles
from .speed.record import Record, Suite, title
from .storage import read
from .training import readme_table

# The folders of the repository whose README files are generated, that of the root besides.
FOLDERS = ("benchmarks", "pat_triton", "reference", "tests")
RIVALS = ("eager", "compiled", "released")
SPECIAL: dict[str, Callable[[Path], str]] = {
    "roofline.json": roofline.markdown,
    "cpu-figure5.json": figure5.markdown,
    "cuda-kernels.json": profiled.markdown,
    **dict.fromkeys(("cpu-host.json", "cuda-host.json"), host.markdown),
    "published.json": published.markdown,
    "scenes.json": readme_table.markdown,
    **dict.fromkeys(("cpu-speed.json", "cuda-speed.json"), lambda file: overview.markdown(read(file, Suite))),
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("numbers", help="rewrite the tables of every README from benchmarks/results")
    parser.set_defaults(run=rewrite)


def rewrite(_: argparse.Namespace) -> None:
    for file in readmes():
        file.write_text(filled(file.read_text()))


def readmes() -> list[Path]:
    """Every README of the repository."""
    return [ROOT / "README.md", *sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("README.md"))]


def filled(text: str) -> str:
    """The text with each generated section as its records give it."""
    return SECTION.sub(lambda found: found[1] + KINDS[found[2]](_paths(found[3])) + found[4], text)


def markdown(file: Path) -> str:
    """A record as a table, a line a loss."""
    if not file.exists():
        return "Not measured yet.\n"
    if file.is_dir():
        return scores.markdown(read_all(file))
    if file.suffix == ".jsonl":
        return tiles.markdown(file)
    if file.name in SPECIAL:
        return SPECIAL[file.name](file)
    record = read(file, Record)
    head = ("", "ours, ms", *(f"{name}, ms" for name in RIVALS), "memory", "gradient error")
    losses = dict.fromkeys(row.loss for row in record.rows)
    return f"{title(record)}:\n\n" + table(head, (_cells(record, loss) for loss in losses))


def _paths(names: str | None) -> list[Path]:
    return [RESULTS / name for name in (names or "").split()]


KINDS: dict[str, Callable[[Sequence[Path]], str]] = {
    "figures": lambda files: markdown(files[0]),
    "summary": summary.markdown,
    "choice": lambda files: choice.markdown(files[0]),
    "losses": lambda _: loss_table.markdown(),
}
SECTION = re.compile(rf"(<!-- ({'|'.join(KINDS)})(?: ([^>]+))? -->\n).*?(<!-- end -->)", re.S)


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
