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

from ..places import RESULTS
from ..profiled import Kernels
from ..storage import add_save, read, refuse_taken
from .bounds import CLASSES, DTYPES, H200, HEIGHT, IMAGES, RATIO, WIDTH
from .targets import TARGETS

# What was measured of some of the configurations, by an earlier commit's code and another Triton.
MEASURED = RESULTS / "cuda-kernels.json"
LOSSES = {"none": "PATLoss", "offset": "BalancedSoftmaxLoss", "margin": "LDAMLoss", "variation": "BLVLoss"}

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
    kernels = read(MEASURED, Kernels)
    lines = [
        f"Predicted for an {gpu['name']}, not measured: {images} images of {height}x{width}, loss + gradient in one "
        f"pass, code for {gpu['target']} by Triton {saved['triton']}, {saved['date']}. ms; in brackets, measured of "
        f"PAT, LDAM and BLV at {kernels.commit} with Triton {kernels.machine.triton}; copy: the share that one of the "
        f"floor's bytes would take, at {gpu['bandwidth'] / 1e12:g} TB/s; instr: a thread's, for each of its logits; "
        "warps: resident, of 64; regs: registers of a thread, and spills:",
        "",
        "| classes | | bf16: ms | copy | instr | warps | regs | fp32: ms | copy | instr | warps | regs |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    times = measured(kernels)
    pairs: dict[tuple[int, str], dict[str, str]] = {}
    for row in saved["rows"]:
        if (row["target"], row["plan"]) == (gpu["target"], "one_pass") and row["dtype"] in ("bf16", "fp32"):
            unusual = [row[key] for key, usual in (("layout", "nchw"), ("adjustment", "none")) if row[key] != usual]
            cells = pairs.setdefault((row["classes"], " ".join(unusual)), {})
            cells[row["dtype"]] = " | ".join(
                (
                    _ms(row, times),
                    f"{row['predicted_share_of_copy']:.0%}",
                    f"{row['instructions_per_logit']:.1f}",
                    str(row["resident_warps"]),
                    _registers(row),
                )
            )
    lines += [f"| {L} | {what} | {cells['bf16']} | {cells['fp32']} |" for (L, what), cells in pairs.items()]
    return "\n".join(lines) + "\n"


Key = tuple[str, tuple[int, ...], tuple[int, ...], str]


def measured(kernels: Kernels) -> dict[Key, float]:
    """Milliseconds of the longest launch, by loss, shape of the labels, of the logits, and dtype."""
    return {(call.loss, call.shape, call.source, call.dtype): call.longest / 1e3 for call in kernels.calls}


def _ms(row: dict[str, Any], times: dict[Key, float]) -> str:
    """Predicted, and in brackets measured where it was."""
    if "predicted_us" not in row:
        return ""
    size = {"nchw": (HEIGHT, WIDTH), "quarter": (HEIGHT // RATIO, WIDTH // RATIO)}.get(row["layout"], ())
    time = times.get((LOSSES[row["adjustment"]], (IMAGES, row["classes"], HEIGHT, WIDTH), size, row["dtype"]))
    known = row["plan"] == "one_pass" and time is not None
    return f"{row['predicted_us'] / 1e3:.2f}" + (f" ({time:.2f})" if known else "")


def _registers(row: dict[str, Any]) -> str:
    return f"{row['registers']}+{row['spills']}" if row["spills"] else str(row["registers"])


def table(rows: list[dict[str, Any]]) -> Table:
    kernels = read(MEASURED, Kernels)
    times = measured(kernels)
    made = Table(
        title=f"{IMAGES} images of {HEIGHT} x {WIDTH}, Triton {version('triton')}",
        caption="tile: classes x pixels / warps (resized: cells x outputs of each x rows of nodes); regs: registers + "
        "spills; warps: resident, of the most; share: threads that share a column; bytes: to and from memory, a pixel; "
        "sectors: of 32 bytes that a program touches, of its bytes; 128: share of 128-bit accesses; instr: a thread's, "
        f"for each of its logits. Predicted for an {H200.name}: ms (in brackets, measured of PAT, balanced softmax, "
        f"LDAM and BLV at {kernels.commit}) and, copy, the share that one of the floor's bytes takes at "
        f"{H200.bandwidth / 1e12} TB/s.",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    made.add_column("", no_wrap=True)
    made.add_column("tile", no_wrap=True)
    for column in ("regs", "warps", "share", "bytes", "sectors", "128", "instr", "ms", "copy"):
        made.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(*_cells(row, times, targets=len({row["target"] for row in rows}) > 1))
    return made


def _cells(row: dict[str, Any], times: dict[Key, float], targets: bool) -> list[str]:
    unusual = [row[key] for key, usual in (("adjustment", "none"), ("layout", "nchw")) if row[key] != usual]
    tile, instructions, share = row["tile"], row["instructions_per_logit"], row.get("predicted_share_of_copy")
    pixels = tile.get("PIXELS") or f"{tile['INTERVALS']}x{tile['OUTPUTS']}x{tile['SOURCE_ROWS']}"
    return [
        " ".join([row["target"]] * targets + [str(row["classes"]), row["dtype"], row["plan"], *unusual]),
        f"{tile['CLASSES']}x{pixels}/{tile['num_warps']}",
        _registers(row),
        f"{row['resident_warps']}/{row['most_warps']}",
        str(row["column_threads"]),
        _short(row["bytes_per_pixel"]),
        f"{row['sector_bytes_per_pixel'] / row['bytes_per_pixel']:.2f}",
        f"{row['wide_share']:.0%}",
        "?" if instructions is None else _short(instructions),
        _ms(row, times),
        "" if share is None else f"{share:.0%}",
    ]


def _short(number: float) -> str:
    return f"{number:.1f}" if number < 100 else f"{number:.0f}"
