"""How near each kernel is to the byte floor, and what an H200 would take: from compiled code, without a GPU."""

import argparse
import dataclasses
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from .bounds import H200
from .record import add_save, refuse_taken
from .sizes import CLASSES, DTYPES, HEIGHT, IMAGES, WIDTH
from .targets import TARGETS

TABLE_WIDTH = 136  # columns of text, where the terminal has fewer


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("roofline", help="bytes, registers and instructions of the compiled kernels")
    parser.add_argument("--target", nargs="+", choices=[*TARGETS, "all"], default=[H200.target], metavar="GPU")
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES, metavar="L")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES), metavar="DTYPE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that compile")
    add_save(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    refuse_taken(args.save)
    for name, least in (("--jobs", args.jobs), ("--classes", min(args.classes))):
        if least < 1:
            raise ValueError(f"{name}: expected 1 or more, got {least}")
    if not find_spec("triton"):
        raise ValueError("roofline needs the package triton, which is not installed")
    rows = compile_all(list(TARGETS) if "all" in args.target else args.target, args.classes, args.dtype, args.jobs)
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table(rows))
    if args.save is not None:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(text(rows))


def compile_all(targets: list[str], classes: list[int], dtypes: list[str], jobs: int) -> list[dict[str, Any]]:
    """The rows of the matrix, compiled in processes of their own: Triton's interpreter, where it is on in
    this one, is off there."""
    from .configurations import matrix, rows

    made: list[dict[str, Any]] = []
    with mock.patch.dict(os.environ):
        os.environ.pop("TRITON_INTERPRET", None)
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            todo = list(matrix(targets, classes, dtypes))
            console = Console(stderr=True)
            for found in track(pool.map(rows, todo), "compiling", len(todo), console=console, transient=True):
                made += found
    return made


def text(rows: list[dict[str, Any]]) -> str:
    """The record of a run: JSON with a line a row."""
    head = {
        "date": time.strftime("%Y-%m-%d"),
        "triton": version("triton"),
        "shape": [IMAGES, "classes", HEIGHT, WIDTH],
        "prediction": dataclasses.asdict(H200),
    }
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    return json.dumps(head, indent=1)[:-2] + f',\n "rows": [\n{lines}\n ]\n}}\n'


def markdown(file: Path) -> str:
    """The H200's rows of a record, one pass in bf16 and fp32, as the README shows them."""
    saved = json.loads(file.read_text())
    gpu, (images, _, height, width) = saved["prediction"], saved["shape"]
    lines = [
        f"Predicted for an {gpu['name']}, not measured: {images} images of {height}x{width}, loss + gradient in one "
        f"pass, code for {gpu['target']} by Triton {saved['triton']}, {saved['date']}; {gpu['bandwidth'] / 1e12:g} "
        f"TB/s, {gpu['multiprocessors']} x {gpu['issue']} instructions a cycle of {gpu['clock'] / 1e9:g} GHz:",
        "",
        "| classes | | bf16: ms by bytes, instructions | floor / ms | fp32: ms by bytes, instructions | floor / ms |",
        "|---|---|---|---|---|---|",
    ]
    pairs: dict[tuple[int, str], dict[str, str]] = {}
    for row in saved["rows"]:
        if (row["target"], row["plan"]) == (gpu["target"], "one_pass") and row["dtype"] in ("bf16", "fp32"):
            unusual = [row[key] for key, usual in (("layout", "nchw"), ("adjustment", "none")) if row[key] != usual]
            ms = f"{row['predicted_bytes_ms']:.2f}, {row['predicted_issue_ms']:.2f}"
            cells = pairs.setdefault((row["classes"], " ".join(unusual)), {})
            cells[row["dtype"]] = f"{ms} | {row['predicted_share_of_floor']:.0%}"
    lines += [f"| {L} | {what} | {cells['bf16']} | {cells['fp32']} |" for (L, what), cells in pairs.items()]
    return "\n".join(lines) + "\n"


def table(rows: list[dict[str, Any]]) -> Table:
    made = Table(
        title=f"{IMAGES} images of {HEIGHT} x {WIDTH}, Triton {version('triton')}",
        caption="tile: classes x pixels / warps (resized: cells x outputs of each x rows of nodes); regs: registers + "
        "spills; warps: resident, of the most; share: threads that share a column; bytes: to and from memory, a pixel; "
        "sectors: of 32 bytes that a program touches, of its bytes; 128: share of 128-bit accesses; instr: of a warp, "
        f"a pixel. Predicted for an {H200.name}, not measured: ms by bytes at {H200.bandwidth / 1e12} TB/s, ms by "
        "instructions, and the floor's share of the longer.",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    made.add_column("", no_wrap=True)
    made.add_column("tile", no_wrap=True)
    for column in ("regs", "warps", "share", "bytes", "sectors", "128", "instr", "bytes ms", "instr ms", "floor"):
        made.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(*_cells(row, targets=len({row["target"] for row in rows}) > 1))
    return made


def _cells(row: dict[str, Any], targets: bool) -> list[str]:
    unusual = [row[key] for key, usual in (("adjustment", "none"), ("layout", "nchw")) if row[key] != usual]
    tile, instructions, share = row["tile"], row["instructions_per_pixel"], row.get("predicted_share_of_floor")
    pixels = tile.get("PIXELS") or f"{tile['CELLS']}x{tile['CROWD']}x{tile['BANDS']}"
    return [
        " ".join([row["target"]] * targets + [str(row["classes"]), row["dtype"], row["plan"], *unusual]),
        f"{tile['CLASSES']}x{pixels}/{tile['num_warps']}",
        f"{row['registers']}+{row['spills']}" if row["spills"] else str(row["registers"]),
        f"{row['resident_warps']}/{row['most_warps']}",
        str(row["column_threads"]),
        _short(row["bytes_per_pixel"]),
        f"{row['sector_bytes_per_pixel'] / row['bytes_per_pixel']:.2f}",
        f"{row['wide_share']:.0%}",
        "?" if instructions is None else _short(instructions),
        *(f"{row[key]:.2f}" if key in row else "" for key in ("predicted_bytes_ms", "predicted_issue_ms")),
        "" if share is None else f"{share:.0%}",
    ]


def _short(number: float) -> str:
    return f"{number:.1f}" if number < 100 else f"{number:.0f}"
