"""How good the predictions of a network are on a split."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pat_triton import confusion_matrix, metrics, predict

from .data import Split
from .model import normalise


@dataclass(frozen=True)
class Scores:
    """iou: of each class, NaN where a class neither occurs nor is predicted; the means leave those out."""

    iou: tuple[float, ...]
    miou: float
    tail_miou: float
    pixel_accuracy: float


def evaluate(model: nn.Module, split: Split, tail: Tensor, device: torch.device, batch: int = 8) -> Scores:
    """At the labels' size; tail (L,) bool."""
    labels = split.labels.split(batch)
    logits = _logits(model, split.images, device, batch)
    matrices = [confusion_matrix(z, y.to(device), len(tail)) for z, y in zip(logits, labels, strict=True)]
    matrix = torch.stack(matrices).sum(0).cpu()
    iou, mean = metrics.iou(matrix)
    return Scores(
        iou=tuple(iou.tolist()),
        miou=mean.item(),
        tail_miou=iou[tail].nanmean().item(),
        pixel_accuracy=metrics.pixel_accuracy(matrix).overall.item(),
    )


def label(model: nn.Module, images: Tensor, device: torch.device, batch: int = 8) -> Tensor:
    """images (N, 3, H, W) uint8 -> predicted labels (N, H, W) uint8 on the CPU."""
    return torch.cat([predict(z, images.shape[2:]).cpu() for z in _logits(model, images, device, batch)])


@torch.no_grad()
def _logits(model: nn.Module, images: Tensor, device: torch.device, batch: int) -> Iterator[Tensor]:
    model.eval()
    for part in images.split(batch):
        yield model(normalise(part.to(device)))
