"""What a run writes down while it trains, as CSV."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SINGLE = ("loss", "step", "learning_rate", "training_loss")
MEANS = ("miou", "tail_miou", "head_miou", "pixel_accuracy", "dice_error")


def write_log(path: Path, classes: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A row each time the validation images were judged: losses, scores as shares of 1, IoU and loss by class."""
    by_class = [f"{what} {name}" for what in ("IoU", "loss") for name in classes]
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow((*SINGLE, "validation_loss", *MEANS, *by_class))
        for row in rows:
            single, means = ([row[name] for name in names] for names in (SINGLE, MEANS))
            table.writerow((*single, sum(row["loss_by_class"]), *means, *row["iou"], *row["loss_by_class"]))


def write_losses(path: Path, losses: Mapping[str, Sequence[float]]) -> None:
    """A row a training step, a column a loss."""
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("step", *losses))
        table.writerows([step, *values] for step, values in enumerate(zip(*losses.values(), strict=True), 1))
