"""How good the predictions of a network are on a split."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pat_triton import SegmentationLoss, Statistics, SumLoss, metrics, predict
from pat_triton.checks import mark_invalid

from .batches import POOL
from .datasets import Split
from .datasets.splits import stack
from .networks import normalise


@dataclass(frozen=True)
class Scores:
    """iou: of each class, NaN where a class neither occurs nor is predicted; the means leave those out. All are NaN
    where the loss is not finite.

    dice_error: 1 - the mean Dice coefficient. loss_by_class: the mean over batches of images; the sum is the loss.
    """

    iou: tuple[float, ...]
    miou: float
    tail_miou: float
    head_miou: float
    pixel_accuracy: float
    dice_error: float
    loss_by_class: tuple[float, ...]


class Judge:
    """Predictions of a network, a loss and metrics at the labels' size, in one pass over the logits. In float32."""

    def __init__(
        self, model: nn.Module, criterion: SegmentationLoss | SumLoss, device: torch.device, batch: int
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.device = device
        self.batch = batch

    def scores(self, split: Split, tail: Tensor) -> Scores:
        """tail (L,) bool."""
        self.criterion.eval()
        parts, finite = [], []
        for logits, labels in self._predicted(split, range(len(split))):
            loss, stats = self.criterion(logits, labels, return_stats=True)
            finite.append(loss.isfinite())
            # The loss is a mean over the batch, which may be a smaller one at the end.
            parts.append(stats._replace(loss=stats.loss * (len(labels) / len(split))))
        self.criterion.train()
        stats = Statistics(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
        # A network that diverged has nan logits, which would count as predictions of the first class.
        stats = stats._replace(correct=mark_invalid(stats.correct, ~torch.stack(finite).all().cpu()))
        iou, mean = metrics.iou(stats)
        return Scores(
            iou=tuple(iou.tolist()),
            miou=mean.item(),
            tail_miou=iou[tail].nanmean().item(),
            head_miou=iou[~tail].nanmean().item(),
            pixel_accuracy=metrics.pixel_accuracy(stats).overall.item(),
            dice_error=1 - metrics.dice(stats).mean.item(),
            loss_by_class=tuple(stats.loss.double().sum(0).tolist()),
        )

    def labels(self, split: Split, numbers: list[int]) -> Tensor:
        """Predicted (N, H, W) uint8 of those samples, on the CPU."""
        align = self.criterion.align_corners
        pairs = self._predicted(split, numbers)
        return torch.cat([predict(z, y.shape[1:], align_corners=align).cpu() for z, y in pairs])

    @torch.no_grad()
    def _predicted(self, split: Split, numbers: range | list[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and labels of batches."""
        self.model.eval()
        for start in range(0, len(numbers), self.batch):
            images, labels = stack(POOL.map(split.__getitem__, numbers[start : start + self.batch]))
            yield self.model(normalise(images.to(self.device))), labels.to(self.device)
