"""Losses by name, ours and the reference's: those of the catalogue, and sums of some, ``PATLoss + DiceLoss``."""

import operator
from collections.abc import Callable
from functools import reduce
from inspect import signature
from typing import Any

from torch import Tensor

import pat_triton
import reference
from pat_triton.adjustment import Variation
from pat_triton.base import Criterion
from pat_triton.losses import CATALOGUE

SUMS = ("PATLoss + DiceLoss",)  # that are measured
NAMES = (*CATALOGUE, *SUMS)


def ours(name: str, **options: Any) -> Criterion:
    """options: of every term."""
    return reduce(operator.add, (getattr(pat_triton, term)(**options) for term in name.split(" + ")))


def truth(name: str, **options: Any) -> Callable[..., Tensor]:
    first, *others = (getattr(reference, term)(**options) for term in name.split(" + "))
    return reference.SumLoss((1.0, first), *((1.0, other) for other in others)) if others else first


def options(name: str, counts: Tensor) -> dict[str, Any]:
    """Arguments of both, for a data set with these class counts."""
    takes = name in CATALOGUE and "class_counts" in signature(CATALOGUE[name].__init__).parameters
    return {"class_counts": counts} if takes else {}


def draws(criterion: Criterion) -> bool:
    """Whether it has noise, of which a rival's is another draw."""
    return any(isinstance(part, Variation) for loss in criterion.losses for part in loss.adjustment)
