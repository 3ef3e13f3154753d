"""Long-tailed segmentation losses: fused Triton kernels, and the same numbers in plain torch."""

from . import metrics
from .counts import class_counts
from .criterion import SegmentationLoss
from .curves import Curve, register
from .evaluation import confusion_matrix, predict
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
from .statistics import Statistics

__version__ = "0.1.0"
__all__ = [
    "BLVLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedFocalLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "Curve",
    "FocalLoss",
    "LDAMLoss",
    "PATLoss",
    "SegmentationLoss",
    "Statistics",
    "class_counts",
    "confusion_matrix",
    "metrics",
    "predict",
    "register",
]
