"""The losses from their formulas, in plain PyTorch with autograd: what the tests compare against."""

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
from .regions import DiceLoss, JaccardLoss, SumLoss, TverskyLoss

__all__ = [
    "BLVLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedFocalLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "JaccardLoss",
    "LDAMLoss",
    "PATLoss",
    "SumLoss",
    "TverskyLoss",
]
