"""Segmentation metrics from counts: of a confusion matrix, or of the ``Statistics`` of a loss.

A confusion matrix is int64 (L, L), rows true, columns predicted, as ``confusion_matrix`` returns it;
matrices of batches and of processes add up. ``Statistics`` are summed over their images. Nothing
waits for the device. Results are float64 on the counts' device: ``by_class`` (L,), and scalars.

A class that was ignored has nan, and is in no mean: of ``Statistics`` always, of a matrix where ``ignore_index`` says
so, for it does not tell an ignored class from one that is nowhere labelled.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from . import checks, private
from .adjustment import statistics
from .inputs import counted
from .options import IGNORE_INDEX
from .statistics import Statistics


class Overlap(NamedTuple):
    """``by_class`` is (L,), nan where a class is neither labelled nor predicted; ``mean`` is the mean of the others."""

    by_class: Tensor
    mean: Tensor


class Accuracy(NamedTuple):
    """``overall`` is of all labelled pixels. ``by_class`` is (L,), of those of each class, nan where it has none;
    ``mean`` is the mean of the others."""

    overall: Tensor
    by_class: Tensor
    mean: Tensor


def iou(counts: Tensor | Statistics, ignore_index: int | Sequence[int] = IGNORE_INDEX) -> Overlap:
    """Intersection over union, the Jaccard index: right / (labelled + predicted - right)."""
    labelled, predicted, right = _counts(counts, ignore_index)
    return _overlap(right / (labelled + predicted - right))


def dice(counts: Tensor | Statistics, ignore_index: int | Sequence[int] = IGNORE_INDEX) -> Overlap:
    """The Dice coefficient, F1: 2 right / (labelled + predicted)."""
    labelled, predicted, right = _counts(counts, ignore_index)
    return _overlap(2 * right / (labelled + predicted))


def pixel_accuracy(counts: Tensor | Statistics, ignore_index: int | Sequence[int] = IGNORE_INDEX) -> Accuracy:
    """The share of labelled pixels that are right; by class the recall, and their mean "mean accuracy"."""
    labelled, _, right = _counts(counts, ignore_index)
    by_class = right / labelled
    return Accuracy(right.nansum() / labelled.nansum(), *_overlap(by_class))


def _counts(counts: Tensor | Statistics, ignore_index: int | Sequence[int]) -> Tensor:
    """(labelled, predicted, right) pixels of each class: (3, L); nan if negative counts say that labels were wrong, and
    of ignored classes."""
    if isinstance(counts, Statistics):
        each = torch.stack([n.sum(0) for n in counts[1:]])
    else:
        matrix = private.plain(checks.confusion("counts", counts))
        each = torch.stack((matrix.sum(1), matrix.sum(0), matrix.diag()))
    made = statistics(each).masked_fill((each < 0).any(), torch.nan)
    said = checks.ignore_index("ignore_index", ignore_index)
    kept = None if isinstance(said, checks.Default) else counted(checks.labels_of(said), made.shape[1], made.device)
    return made if kept is None else made.masked_fill(~kept, torch.nan)


def _overlap(by_class: Tensor) -> Overlap:
    return Overlap(by_class, by_class.nanmean())
