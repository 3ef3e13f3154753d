"""Which loss for which situation, and beside it what came of it where all were trained alike, as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from ..markdown import table
from .run_files import Run, by_loss, read_all, spread

SITUATIONS = {
    "Pixel accuracy counts most, or classes are about equally frequent.": "CrossEntropyLoss",
    "Most pixels are easy, and hard ones should count more.": "FocalLoss(gamma=2)",
    "Rare classes must be found, at the least cost to frequent ones.": "BalancedSoftmaxLoss",
    "Rare classes must be found, and in each image every class should count alike.": "PATLoss(temperature=20)",
    "You want fixed class weights, made from the pixels of each class.": "ClassBalancedLoss",
    "You want fixed class weights, and hard pixels to count more.": "ClassBalancedFocalLoss(gamma=2)",
    "You come from MONAI or nnU-Net: cross-entropy + Dice.": "CrossEntropyLoss() + DiceLoss(per_image=True)",
    "You need LDAM to compare with: margins for rare classes.": "LDAMLoss(max_margin=0.5, scale=20)",
    "You need BLV to compare with: noise on the logits of rare classes.": "BLVLoss(sigma=0.5)",
}


def markdown(folder: Path) -> str:
    """folder: of runs, as ``paper runs`` leaves them."""
    losses = by_loss(read_all(folder))
    head = ("your situation", "loss", "mIoU", "IoU of rare classes", "pixel accuracy", "runs")
    return table(head, ((text, f"`{loss}`", *_cells(losses.get(loss, []))) for text, loss in SITUATIONS.items()))


def _cells(runs: Sequence[Run]) -> tuple[str, ...]:
    if not runs:
        return ("not run", "", "", "0")
    scores = [(run.scores.miou, run.scores.tail_miou, run.scores.pixel_accuracy) for run in runs]
    return (*(f"{100 * spread(column)[0]:.1f}" for column in zip(*scores, strict=True)), str(len(runs)))
