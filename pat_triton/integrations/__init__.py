"""The losses where people already train: ``mmseg``, ``transformers`` and ``monai``, each imported on request.

Loops of torch, Lightning, accelerate and segmentation_models_pytorch call a loss as it is.
"""

from typing import Any

from .. import checks
from ..base import Criterion


def loss_of_ours(criterion: Any) -> Criterion:
    """The criterion, a loss or a sum of several; TypeError for what is no loss of this package."""
    return checks.criterion("criterion", criterion, Criterion)
