"""How good the predictions of a network are on a split."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .data import Split
from .model import normalise


@dataclass(frozen=True)
class Scores:
    """iou: of each class, NaN where the split has none of its pixels; the means leave those out."""

    iou: tuple[float, ...]
    miou: float
    tail_miou: float
    pixel_accuracy: float


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, device: torch.device, batch: int = 8) -> Tensor:
    """images (N, 3, H, W) uint8 -> labels (N, H, W) uint8 on the CPU."""
    model.eval()
    parts = (model(normalise(part.to(device))).argmax(1).to("cpu", torch.uint8) for part in images.split(batch))
    return torch.cat(list(parts))


def score(predictions: Tensor, split: Split, tail: Tensor) -> Scores:
    """predictions (N, H, W) uint8; tail (L,) bool."""
    confusion = sum(_confusion(*pair, len(tail)) for pair in zip(split.labels, predictions, strict=True))
    assert isinstance(confusion, Tensor)
    right, labelled, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
    iou = torch.where(labelled > 0, right / (labelled + predicted - right), torch.nan)
    return Scores(
        iou=tuple(iou.tolist()),
        miou=iou.nanmean().item(),
        tail_miou=iou[tail].nanmean().item(),
        pixel_accuracy=(right.sum() / labelled.sum()).item(),
    )


def _confusion(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """(L, L) pixels of each class (rows) predicted as each class (columns); void left out."""
    known = labels < classes
    bins = classes * labels[known].long() + predictions[known]
    return torch.bincount(bins, minlength=classes**2).view(classes, classes)
