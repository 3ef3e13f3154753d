"""What a call also tells about its predictions, image by image."""

from typing import NamedTuple

import torch
from torch import Tensor

from . import checks
from .inputs import ClassSums, Ignored, counted


class Statistics(NamedTuple):
    """What a call with ``return_stats=True`` also returns, by image and class: (B, L) on the logits' device.

    Of several batches: ``Statistics(*map(torch.cat, zip(*batches)))``. ``pat_triton.metrics`` makes IoU,
    accuracy and Dice of them. An image with wrong labels that were not checked (see ``validate``) has
    nan and negative counts, and the metrics are nan.

    loss: the sum of the loss's terms over the class's pixels, float32 (float64 for float64 logits),
        weights and reduction included: they add up to the loss.
    labelled: pixels of the class, int64.
    predicted: labelled pixels whose largest logit is the class's (the first, where several are), int64.
        Of the logits as they came: without margin, offset or variation. 0 of an ignored class.
    correct: those that are of the class, int64.
    """

    loss: Tensor
    labelled: Tensor
    predicted: Tensor
    correct: Tensor


def statistics(sums: list[ClassSums], histogram: Tensor, labels_checked: bool, ignored: Ignored) -> Statistics:
    """Of the sums of one batch's heads; histogram (B, L + 1) of its labels, whose labels were checked or not."""
    loss = sum((one.loss for one in sums[1:]), sums[0].loss)
    predicted, kept = sums[0].predicted, counted(ignored, loss.shape[1], loss.device)
    counts = histogram[:, :-1], predicted if kept is None else predicted * kept, sums[0].correct
    if labels_checked:
        return Statistics(loss, *counts)
    wrong = histogram[:, -1:] > 0
    return Statistics(loss.masked_fill(wrong, torch.nan), *(checks.mark_invalid(n, wrong) for n in counts))
