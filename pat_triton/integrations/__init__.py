"""The losses where people already train: ``mmseg``, ``transformers`` and ``monai``, each imported on request.

Loops of torch, Lightning, accelerate and segmentation_models_pytorch call a loss as it is.
"""

from typing import Any

from ..criterion import SegmentationLoss


def loss_of_ours(criterion: Any) -> SegmentationLoss:
    """The criterion; TypeError for what is no loss of this package."""
    if isinstance(criterion, SegmentationLoss):
        return criterion
    made = isinstance(criterion, type) and issubclass(criterion, SegmentationLoss)
    hint = f"; write {criterion.__name__}()" if made else ""
    got = criterion.__name__ if isinstance(criterion, type) else type(criterion).__name__
    raise TypeError(f"criterion: expected a loss of pat_triton, such as PATLoss(), got {got}{hint}")
