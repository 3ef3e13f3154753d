"""Segmentation metrics from counts: of a confusion matrix, or of the ``Statistics`` of a loss.

A confusion matrix is int64 (L, L), rows true, columns predicted, as ``confusion_matrix`` returns it;
matrices of batches and of processes add up. ``Statistics`` are summed over their images. Nothing
waits for the device. Results are float64 on the counts' device: ``by_class`` (L,), and scalars.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from . import checks
from .adjustment import statistics
from .statistics import Statistics


class Overlap(NamedTuple):
    """by_class: (L,), nan where a class is neither labelled nor predicted. mean: () of the others."""

    by_class: Tensor
    mean: Tensor


class Accuracy(NamedTuple):
    """overall: () of all labelled pixels. by_class: (L,) of each class's, nan without any. mean: () of the others."""

    overall: Tensor
    by_class: Tensor
    mean: Tensor


def iou(counts: Tensor | Statistics) -> Overlap:
    """Intersection over union, the Jaccard index: right / (labelled + predicted - right)."""
    labelled, predicted, right = _counts(counts)
    return _overlap(right / (labelled + predicted - right))


def dice(counts: Tensor | Statistics) -> Overlap:
    """The Dice coefficient, F1: 2 right / (labelled + predicted)."""
    labelled, predicted, right = _counts(counts)
    return _overlap(2 * right / (labelled + predicted))


def pixel_accuracy(counts: Tensor | Statistics) -> Accuracy:
    """The share of labelled pixels that are right; by class the recall, and their mean "mean accuracy"."""
    labelled, _, right = _counts(counts)
    by_class = right / labelled
    return Accuracy(right.sum() / labelled.sum(), *_overlap(by_class))


def _counts(counts: Tensor | Statistics) -> Tensor:
    """(labelled, predicted, right) pixels of each class: (3, L); nan if negative counts say that labels were wrong."""
    if isinstance(counts, Statistics):
        each = torch.stack([n.sum(0) for n in counts[1:]])
    else:
        matrix = checks.confusion("counts", counts)
        each = torch.stack((matrix.sum(1), matrix.sum(0), matrix.diag()))
    return statistics(each).masked_fill((each < 0).any(), torch.nan)


def _overlap(by_class: Tensor) -> Overlap:
    return Overlap(by_class, by_class.nanmean())
