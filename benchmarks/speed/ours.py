"""Ours by name, of a loss or of a sum of some: ``PATLoss + DiceLoss``."""

import operator
from functools import reduce
from typing import Any

import pat_triton
from pat_triton.base import Criterion

SUMS = ("PATLoss + DiceLoss",)  # that are measured


def ours(name: str, **options: Any) -> Criterion:
    """options: of every term."""
    return reduce(operator.add, (getattr(pat_triton, term)(**options) for term in name.split(" + ")))
