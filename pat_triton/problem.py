"""What a path needs besides logits and target: the three parts made concrete for one call."""

import dataclasses
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .adjustment import Tables
from .curves import Curve


@dataclasses.dataclass(frozen=True)
class Problem:
    """tables (L,) and weights (B, L) in the compute dtype: fp64 for fp64 logits, otherwise fp32.

    seed, origin: BLV's key, and the numbers of the first image and the first pixel, None for 0, 0; int64 (2,).
    align_corners: how logits of another size than the target are resized.
    pixel_weight: (B, *spatial) of the target's size, any float dtype and strides; None for 1 everywhere.
    histogram: that of the labels (B, L + 1), for operators that look at it when they run; None where nobody does.
    """

    curve: Curve
    tables: Tables
    weights: Tensor
    seed: Tensor | None
    ignore_index: int
    align_corners: bool = False
    origin: Tensor | None = None
    pixel_weight: Tensor | None = None
    histogram: Tensor | None = None


def compute_dtype(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def label_dtype(classes: int) -> torch.dtype:
    """The smallest dtype that holds the classes, as predictions are kept."""
    return torch.uint8 if classes <= 256 else torch.int16 if classes <= 1 << 15 else torch.int32


class Tally(NamedTuple):
    """By image and class, (B, L): the summed loss terms of the class's pixels in the compute dtype, and int64
    labelled pixels predicted as the class, and those of them that are right."""

    loss: Tensor
    predicted: Tensor
    correct: Tensor

    @classmethod
    def zeros(cls, logits: Tensor, compute: torch.dtype) -> "Tally":
        loss = logits.new_zeros(logits.shape[:2], dtype=compute)
        return cls(loss, torch.zeros_like(loss, dtype=torch.int64), torch.zeros_like(loss, dtype=torch.int64))


class Result(NamedTuple):
    """loss: () or (B, *spatial) in the compute dtype; gradient: the logits' shape, dtype and, if dense, strides."""

    loss: Tensor | None
    gradient: Tensor | None
    tally: Tally | None = None


class Path(Protocol):
    """One way to execute: plain torch or the kernels, or operators that stand for them.

    traced: tensors may hold no numbers yet, and ``run`` is differentiable by itself.
    """

    traced: bool

    def histogram(self, target: Tensor, classes: int, ignore_index: int) -> Tensor:
        """int64 (B, L + 1): S[b, l] and, last, the labels that are neither a class nor ignored."""
        ...

    def run(
        self, logits: Tensor, target: Tensor, problem: Problem, *,
        reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, tally: bool = False,
    ) -> Result:  # fmt: skip
        """The loss, and with ``gradient`` its gradient, with ``tally`` its statistics; with
        ``grad_output`` (a scalar, or of the target's shape) the gradient alone, times it."""
        ...

    def rescale(self, gradient: Tensor, factor: Tensor) -> None:
        """Multiply in place by a scalar; free where it is 1."""
        ...

    def predict(self, logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
        """(B, *size) of ``label_dtype``: the first class with the largest logit; nan is the largest."""
        ...

    def confusion(self, target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
        """int64 (L + 2, L): pixels of each class (row) predicted as each class (column); row L is
        ignored, row L + 1 labels that are neither."""
        ...
