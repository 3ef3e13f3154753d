"""What a backend needs besides logits and target: the three parts made concrete for one call; and what it returns."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .adjustment import Noise
from .curves import Curve

Ignored = tuple[int, ...]  # labels


def counted(ignored: Ignored, classes: int, device: torch.device) -> Tensor | None:
    """The classes that are not ignored, bool (L,); None for all."""
    out = [i for i in ignored if 0 <= i < classes]
    if not out:
        return None
    number = torch.arange(classes, device=device)
    return torch.stack([number != i for i in out]).all(0)


class RegionInputs(NamedTuple):
    """What region losses need of a pass over the logits, see ``pat_triton.regions``.

    needs: whether the sums by class of p, and of p squared. derivatives: of their loss by the sums I, P and Q,
    (B, 3, L) in the compute dtype; None in the pass that makes the sums.
    """

    needs: tuple[bool, bool]
    derivatives: Tensor | None = None


class LossInputs(NamedTuple):
    """The three parts of a loss as numbers.

    curve: for kernels a class will do, whose parameters are in the tables.
    tables: rows of L numbers, one after the other, float64 or the compute dtype, which is float64 for float64 logits
        and otherwise float32. For kernels the first ``lead`` rows hold sigma and the curve's parameters. Then the
        adjustment, what ``rows`` name of "scale", "offset", "margin" and "variation"; from row ``first`` on the
        weights, how much a labelled pixel of each image and class weighs. None while a call is planned.
    noise, seed, offset: BLV's distribution, its key, and the numbers of the first image and the first pixel (None
        for 0, 0); int64 (2,) both.
    ignored: the labels of pixels without loss and gradient.
    align_corners: how logits of another size than the target are resized.
    uniform_scale: whether the row of scales, if there is one, holds one number L times.
    pixel_weight: (B, *spatial) of the target's size, any float dtype and strides; None for 1 everywhere.
    regions: None without region losses.
    """

    curve: Curve | type[Curve]
    tables: Tensor | None
    rows: tuple[str, ...]
    first: int
    noise: Noise | None
    seed: Tensor | None
    ignored: Ignored
    align_corners: bool = False
    offset: Tensor | None = None
    pixel_weight: Tensor | None = None
    lead: int = 0
    uniform_scale: bool = False
    regions: RegionInputs | None = None

    def row(self, name: str) -> int | None:
        """The row of ``tables`` that holds it; None where there is none."""
        return self.lead + self.rows.index(name) if name in self.rows else None


def compute_dtype(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def table_dtype(heads: Sequence[Tensor]) -> torch.dtype:
    """Of the tables of all heads: float64 if one of them computes in it."""
    return torch.float64 if any(z.dtype == torch.float64 for z in heads) else torch.float32


def label_dtype(classes: int) -> torch.dtype:
    """The smallest dtype that holds the classes, as predictions are kept."""
    return torch.uint8 if classes <= 256 else torch.int16 if classes <= 1 << 15 else torch.int32


class ClassSums(NamedTuple):
    """By image and class, (B, L): the summed loss terms of the class's pixels in the compute dtype, and int64
    labelled pixels predicted as the class, and those of them that are right."""

    loss: Tensor
    predicted: Tensor
    correct: Tensor

    @classmethod
    def zeros(cls, logits: Tensor, compute: torch.dtype) -> "ClassSums":
        loss = logits.new_zeros(logits.shape[:2], dtype=compute)
        return cls(loss, torch.zeros_like(loss, dtype=torch.int64), torch.zeros_like(loss, dtype=torch.int64))


class Result(NamedTuple):
    """loss: () or (B, *spatial) in the compute dtype; gradient: the logits' shape, dtype and, if dense, strides;
    regions: the sums I, P, Q and T of ``pat_triton.regions``, (B, 4, L) in the compute dtype."""

    loss: Tensor | None
    gradient: Tensor | None
    sums: ClassSums | None = None
    regions: Tensor | None = None
