"""The figures of a run: on the terminal and as JSON."""

import argparse
import csv
import json
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import torch
from rich.table import Table
from torch import Tensor

import pat_triton

from . import parallel
from .cost import Cost
from .data import TAIL_SHARE, Data
from .evaluate import Scores
from .machine import version


@dataclass(frozen=True)
class Outcome:
    """One loss: how well it trained, what it and its eager rival cost, and whether they agree.

    predictions: (N, H, W) uint8, of the images in the picture. gradient_difference: the largest, over
    the largest gradient. training_losses: of every step.
    """

    name: str
    scores: Scores
    ours: Cost
    eager: Cost
    gradient_difference: float
    training_seconds: float
    training_losses: tuple[float, ...]
    predictions: Tensor

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From what ``asdict`` made of one."""
        parts = {"scores": Scores(**fields["scores"]), "ours": Cost(**fields["ours"]), "eager": Cost(**fields["eager"])}
        return cls(**{**fields, **parts})


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
    return (
        f"{args.data}: {len(data.train.images)} training and {len(data.val.images)} validation images "
        f"of {args.size[0]} x {args.size[1]}; {args.steps} steps of {args.batch} images a loss, on {device}\n"
        f"% of the labelled training pixels: {shares}; {present[0] / present[-1]:.0f} : 1 from end to end"
    )


def table(data: Data, outcomes: Sequence[Outcome]) -> Table:
    """One column a loss."""
    difference = max(o.gradient_difference for o in outcomes)
    result = Table(
        title="Same network, weights, batches and steps",
        caption="ms and peak: the loss alone, forward and backward, the logits' resize included; ours and "
        f"eager torch have the same gradient within {difference:.0e} of the largest",
    )
    result.add_column("IoU, %")
    result.add_column("pixels, %", justify="right")
    for outcome in outcomes:
        result.add_column(outcome.name, justify="right")

    def row(what: str, show: Callable[[Outcome], str], share: str = "") -> None:
        result.add_row(what, share, *map(show, outcomes))

    for i, name in enumerate(data.classes.names):
        tail = " (tail)" if data.tail[i] else ""
        row(name + tail, lambda o, i=i: _percent(o.scores.iou[i]), f"{100 * data.shares[i]:.2f}")  # type: ignore[misc]
    result.add_section()
    row("mean", lambda o: _percent(o.scores.miou))
    row(f"mean, tail (under {TAIL_SHARE:.0%})", lambda o: _percent(o.scores.tail_miou))
    row("pixel accuracy, %", lambda o: _percent(o.scores.pixel_accuracy))
    result.add_section()
    row("loss, ms a step: ours", lambda o: f"{1e3 * o.ours.seconds:.2f}")
    row("loss, ms a step: eager", lambda o: f"{1e3 * o.eager.seconds:.2f}")
    row("peak MiB (x full-size logits): ours", lambda o: _memory(o.ours))
    row("peak MiB (x full-size logits): eager", lambda o: _memory(o.eager))
    return result


def write(path: Path, data: Data, outcomes: Sequence[Outcome], args: argparse.Namespace, device: torch.device) -> None:
    """The figures of the table, and what they were measured with; NaN as null."""
    names = data.classes.names
    figures = {}
    for outcome in outcomes:
        scores = asdict(outcome.scores) | {"iou": dict(zip(names, outcome.scores.iou, strict=True))}
        figures[outcome.name] = {
            "scores": scores,
            "ours": asdict(outcome.ours),
            "eager": asdict(outcome.eager),
            "gradient_difference": outcome.gradient_difference,
            "training_seconds": outcome.training_seconds,
        }
    document = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": parallel.size(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "pat_triton": pat_triton.__version__}
        | {name: version(name) for name in ("torch", "triton", "numpy")},
        "arguments": vars(args),
        "training_pixels": dict(zip(names, data.counts.tolist(), strict=True)),
        "tail": [name for name, tail in zip(names, data.tail.tolist(), strict=True) if tail],
        "losses": figures,
    }
    path.write_text(json.dumps(_plain(document), indent=2, allow_nan=False) + "\n")


def write_losses(path: Path, outcomes: Sequence[Outcome]) -> None:
    """A row a training step, a column a loss."""
    columns = [outcome.training_losses for outcome in outcomes]
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", *(outcome.name for outcome in outcomes)])
        table.writerows([step, *losses] for step, losses in enumerate(zip(*columns, strict=True), 1))


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _memory(cost: Cost) -> str:
    return f"{cost.bytes / 2**20:.1f} ({cost.copies:.1f})"


def _plain(value: Any) -> Any:
    """What JSON can say of it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
