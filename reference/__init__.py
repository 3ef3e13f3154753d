"""The eight losses from their formulas, in plain PyTorch with autograd: what the tests compare against."""

from .losses import (
    BalancedSoftmaxLoss,
    BLVLoss,
    ClassBalancedFocalLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    FocalLoss,
    LDAMLoss,
    PATLoss,
)

__all__ = [
    "BLVLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedFocalLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "LDAMLoss",
    "PATLoss",
]
