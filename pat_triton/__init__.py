"""Long-tailed segmentation losses: fused Triton kernels, and the same numbers in plain torch."""

from . import losses, metrics, region_losses
from .counts import class_counts
from .criterion import SegmentationLoss
from .curves import Curve, register
from .evaluation import confusion_matrix, predict
from .losses import *  # noqa: F403
from .region_losses import *  # noqa: F403
from .statistics import Statistics
from .sum_loss import SumLoss

__version__ = "0.1.0"
__all__ = [
    "Curve",
    "SegmentationLoss",
    "Statistics",
    "SumLoss",
    "class_counts",
    "confusion_matrix",
    "metrics",
    "predict",
    "register",
]
__all__ += losses.__all__ + region_losses.__all__
