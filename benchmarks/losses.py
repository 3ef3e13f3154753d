"""Time and peak memory of loss + gradient, every loss beside its rivals on the same tensors.

``losses``: logits of their target's size. ``upsample``: smaller logits, which the rivals resize first.
"""

import argparse
import dataclasses
import json
import platform
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import pat_triton

from . import eager
from .cost import Cost, Loss, costs, disagreement

NAMES = (
    "CrossEntropyLoss",
    "FocalLoss",
    "ClassBalancedLoss",
    "ClassBalancedFocalLoss",
    "BalancedSoftmaxLoss",
    "LDAMLoss",
    "BLVLoss",
    "PATLoss",
)
BASE = "F.cross_entropy"
SHAPE, SOURCE = (2, 19, 512, 1024), (128, 256)
# No speed is reported while ours and the same formula in eager torch disagree by more than this share
# of the largest gradient: fp32, different order of summation.
AGREEMENT = 1e-5


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    dense = subparsers.add_parser("losses", help="time and memory of every loss beside its rivals")
    resized = subparsers.add_parser("upsample", help="the same for logits smaller than their labels")
    resized.add_argument("--source", type=int, nargs=2, default=SOURCE, metavar=("H", "W"), help="size of the logits")
    for parser in (dense, resized):
        parser.add_argument("--shape", type=int, nargs=4, default=SHAPE, metavar=("B", "L", "H", "W"))
        parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        parser.add_argument("--save", type=Path, metavar="FILE", help="also write the figures as JSON; must not exist")
        parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.save is not None and args.save.exists():
        raise ValueError(f"--save: {args.save} exists")
    device = torch.device(args.device)
    logits, target = example(args.shape, getattr(args, "source", args.shape[2:]), device)
    check(logits, target)
    measured = costs(contestants(logits, target), logits, target)
    made = record(measured, logits, target)
    Console().print(table(measured, made))
    if args.save is not None:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(json.dumps(made, indent=1) + "\n")


def example(shape: Sequence[int], source: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Random fp32 logits (B, L, *source) that require a gradient, and int64 labels, a tenth of the rows ignored."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(*shape[:2], *source, generator=generator)
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)
    target[:, : shape[2] // 10] = 255
    return logits.to(device).requires_grad_(), target.to(device)


def contestants(logits: Tensor, target: Tensor) -> dict[str, Loss]:
    counts = torch.bincount(target[target != 255], minlength=logits.shape[1])
    rivals: dict[str, Loss] = {
        BASE: eager.cross_entropy,
        "PAT, eager": eager.pat,
        "PAT, released": eager.pat_release,
        "BLV, torch noise": partial(eager.blv, class_counts=counts),
    }
    rivals = {name: eager.resized(loss) for name, loss in rivals.items()}
    return rivals | {name: getattr(pat_triton, name)().to(logits.device) for name in NAMES}


def check(logits: Tensor, target: Tensor) -> None:
    pairs: dict[str, tuple[Loss, Loss]] = {
        "cross-entropy": (pat_triton.CrossEntropyLoss(), eager.cross_entropy),
        "PAT": (pat_triton.PATLoss(), eager.pat),
        "released PAT": (pat_triton.PATLoss(variant="release"), eager.pat_release),
    }
    for name, (ours, theirs) in pairs.items():
        difference = disagreement(ours, eager.resized(theirs), logits, target)
        if not difference <= AGREEMENT:
            raise ValueError(f"{name}: gradients differ by {difference:.2g} of the largest; no speed is reported")


def table(measured: dict[str, Cost], saved: dict[str, Any]) -> Table:
    made = Table(
        title=title(saved),
        caption=f"of F.c_e: share of {BASE}'s time; extra peak: in logits of the target's size",
    )
    for column in ("", "ms", "min-max", "of F.c_e", "extra peak"):
        made.add_column(column, justify="left" if not column else "right")
    base = measured[BASE].seconds
    for name, c in measured.items():
        spread = f"{c.fastest * 1e3:.1f}-{c.slowest * 1e3:.1f}"
        made.add_row(name, f"{c.seconds * 1e3:.1f}", spread, f"{c.seconds / base:.2f}", f"{c.copies:.2f} x")
    return made


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads"


def record(measured: dict[str, Cost], logits: Tensor, target: Tensor) -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": machine(logits.device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "shape": [*logits.shape[:2], *target.shape[1:]],
        "source": list(logits.shape[2:]),
        "dtype": "float32",
        "costs": {name: dataclasses.asdict(c) for name, c in measured.items()},
    }


def title(saved: dict[str, Any]) -> str:
    *batch, height, width = saved["shape"]
    size = "x".join(map(str, [*batch, *saved["source"]]))
    resized = f" to {height}x{width}" if saved["source"] != [height, width] else ""
    return f"{size}{resized}, {saved['dtype']}, loss + gradient, {saved['device']}, torch {saved['torch']}"


def markdown(file: Path) -> str:
    """A saved record as the README shows it."""
    saved = json.loads(file.read_text())
    base = saved["costs"][BASE]["seconds"]
    lines = [
        f"{title(saved)}, {saved['date']}:",
        "",
        f"| | ms, median | min-max | of `{BASE}` | extra peak memory, x full-size logits |",
        "|---|---|---|---|---|",
    ]
    for name, c in saved["costs"].items():
        ms, low, high = (c[k] * 1e3 for k in ("seconds", "fastest", "slowest"))
        share = c["seconds"] / base
        lines.append(f"| {name} | {ms:.1f} | {low:.1f}-{high:.1f} | {share:.2f} | {c['copies']:.2f} |")
    return "\n".join(lines) + "\n"
