"""The figures of a run: on the terminal and as JSON."""

import argparse
import json
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

import pat_triton

from ..device import version
from ..speed.cost import Cost
from . import parallel
from .datasets import TAIL_SHARE, Data
from .evaluate import Scores
from .outcome import Outcome

PLACES = ("root", "out")  # of one machine; they say nothing of a result


def new_folder(parent: Path, name: str, attempt: int = 1) -> Path:
    """A folder that was not there before, named after the data set and the time."""
    again = f"-{attempt}" if attempt > 1 else ""
    folder = parent / f"{name}-{datetime.now():%Y%m%d-%H%M%S}{again}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return new_folder(parent, name, attempt + 1)
    return folder


def describe(data: Data, args: argparse.Namespace, device: torch.device) -> str:
    """What is about to run, and the pixel shares of the classes."""
    by_share = sorted(zip(data.shares.tolist(), data.classes.names, strict=True), reverse=True)
    present = [share for share, _ in by_share if share > 0]
    shares = ", ".join(f"{name} {100 * share:.2f}" for share, name in by_share)
    test = f", {len(data.test)} test images" if data.test else ""
    return (
        f"{args.data}: {len(data.train)} training and {len(data.val)} validation images{test} "
        f"of {args.size[0]} x {args.size[1]}; {args.model}, {args.steps} steps of {args.batch} images a loss, "
        f"on {device}\n"
        f"% of the labelled training pixels: {shares}; the first has {present[0] / present[-1]:.0f} times the last"
    )


def table(data: Data, outcomes: Sequence[Outcome]) -> Table:
    """One column a loss."""
    caption = "ms and peak: the loss alone, forward and backward, the logits' resize included"
    differences = [o.gradient_difference for o in outcomes if o.gradient_difference is not None]
    if differences:
        caption += f"; ours and eager torch have the same gradient within {max(differences):.0e} of the largest"
    measured = any(o.ours for o in outcomes)
    result = Table(title="Same network, weights, batches and steps", caption=caption if measured else None)
    result.add_column(f"IoU of the {'validation' if data.judged is data.val else 'test'} images, %")
    result.add_column("pixels, %", justify="right")
    for outcome in outcomes:
        result.add_column(outcome.name, justify="right")

    def row(what: str, show: Callable[[Outcome], str], share: str = "") -> None:
        result.add_row(what, share, *map(show, outcomes))

    for i, name in enumerate(data.classes.names):
        tail = " (tail)" if data.tail[i] else ""
        row(name + tail, lambda o, i=i: percent(o.scores.iou[i]), f"{100 * data.shares[i]:.2f}")  # type: ignore[misc]
    result.add_section()
    row("mean", lambda o: percent(o.scores.miou))
    row(f"mean, tail (under {TAIL_SHARE:.0%})", lambda o: percent(o.scores.tail_miou))
    row("mean, the others", lambda o: percent(o.scores.head_miou))
    row("pixel accuracy, %", lambda o: percent(o.scores.pixel_accuracy))
    row("Dice error, %", lambda o: percent(o.scores.dice_error))
    if measured:
        result.add_section()
        row("loss, ms a step: ours", lambda o: _milliseconds(o.ours))
        row("loss, ms a step: eager", lambda o: _milliseconds(o.eager))
        row("peak MiB (x full-size logits): ours", lambda o: _memory(o.ours))
        row("peak MiB (x full-size logits): eager", lambda o: _memory(o.eager))
    return result


def write(path: Path, data: Data, outcomes: Sequence[Outcome], args: argparse.Namespace, device: torch.device) -> None:
    """The figures of the table, and what they were measured with; NaN as null."""
    names = data.classes.names

    def named(scores: Scores) -> dict[str, Any]:
        by_class = {what: dict(zip(names, getattr(scores, what), strict=True)) for what in ("iou", "loss_by_class")}
        return asdict(scores) | by_class

    figures = {
        outcome.name: {
            "scores": named(outcome.scores),
            "validated": named(outcome.validated),
            "ours": outcome.ours and asdict(outcome.ours),
            "eager": outcome.eager and asdict(outcome.eager),
            "gradient_difference": outcome.gradient_difference,
            "training_seconds": outcome.training_seconds,
        }
        for outcome in outcomes
    }
    document = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": parallel.size(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "pat_triton": pat_triton.__version__}
        | {name: version(name) for name in ("torch", "triton", "numpy")},
        "arguments": {name: value for name, value in vars(args).items() if name not in PLACES},
        "judged_on": "val" if data.judged is data.val else "test",
        "images": {"train": len(data.train), "val": len(data.val), "test": len(data.test) if data.test else 0},
        "training_pixels": dict(zip(names, data.counts.tolist(), strict=True)),
        "tail": [name for name, tail in zip(names, data.tail.tolist(), strict=True) if tail],
        "losses": figures,
    }
    path.write_text(json.dumps(_plain(document), indent=1, allow_nan=False) + "\n")


def percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _milliseconds(cost: Cost | None) -> str:
    return f"{1e3 * cost.seconds:.2f}" if cost else "-"


def _memory(cost: Cost | None) -> str:
    return f"{cost.bytes / 2**20:.1f} ({cost.copies:.1f})" if cost else "-"


def _plain(value: Any) -> Any:
    """What JSON can say of it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
