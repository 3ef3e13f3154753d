"""mmsegmentation 1.x: the losses, and heads that leave the resize to them, in the registry ``MODELS``.

In a configuration, ``custom_imports = dict(imports=["pat_triton.integrations.mmseg"])``, and then

- ``loss_decode=dict(type="FusedPATLoss", temperature=20)``: each loss of ``pat_triton`` with "Fused" before its name;
- ``decode_head=dict(type="FusedSegformerHead", ...)``: each head of mmsegmentation whose loss is that of
  ``BaseDecodeHead``, with "Fused" before its name. It resizes no logits, and has its accuracy from the loss's pass.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses.utils import get_class_weight
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .. import losses
from ..criterion import SegmentationLoss
from ..statistics import Statistics

LOSSES = {
    "CrossEntropyLoss": "loss_ce",
    "FocalLoss": "loss_focal",
    "ClassBalancedLoss": "loss_cb",
    "ClassBalancedFocalLoss": "loss_cb_focal",
    "BalancedSoftmaxLoss": "loss_bms",
    "LDAMLoss": "loss_ldam",
    "BLVLoss": "loss_blv",
    "PATLoss": "loss_pat",
}


class Loss(nn.Module):
    """A loss as mmsegmentation builds and calls it.

    Args:
        loss_name: its key among a head's losses; must have "loss" in it, or mmengine does not add it up.
        class_weight: numbers for the classes, or a file of them, as in mmsegmentation.
        options: of the loss of ``pat_triton``. A mean divides by the labelled pixels, as mmsegmentation does with
            ``avg_non_ignore=True``; PAT's by the images.
    """

    kind: type[SegmentationLoss]
    default_name: str

    def __init__(
        self, *, loss_name: str | None = None, class_weight: Sequence[float] | str | None = None, **options: Any
    ) -> None:
        super().__init__()
        name = self.default_name if loss_name is None else loss_name
        if "loss" not in name:
            raise ValueError(f"loss_name: expected a name with 'loss' in it, which mmengine adds up, got {name!r}")
        if class_weight is not None:
            options["weight"] = get_class_weight(class_weight)
        self.loss_name = name
        self.criterion = self.kind(**options)
        self.reduction = self.criterion.reduction

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
        **_: Any,
    ) -> Tensor:
        """pred (B, L, h, w), target (B, H, W).

        weight: a factor of each pixel, (B, H, W). avg_factor: what the sum is divided by instead of a mean's own
        number. reduction_override: "none", "mean" or "sum". ignore_index: the head's.
        """
        averaged = self._told(avg_factor, reduction_override, ignore_index)
        loss = self.criterion(pred, target, pixel_weight=weight)
        return loss / avg_factor if averaged else loss

    def with_statistics(
        self, pred: Tensor, target: Tensor, ignore_index: int, align_corners: bool
    ) -> tuple[Tensor, Statistics]:
        """pred (B, L, h, w) of any size."""
        self._told(None, None, ignore_index)
        self.criterion.align_corners = align_corners
        return self.criterion(pred, target, return_stats=True)

    def _told(self, avg_factor: Any, reduction_override: Any, ignore_index: int | None) -> bool:
        """The options of this call; whether its sum is to be divided."""
        reduction = reduction_override or self.reduction
        if avg_factor is not None and reduction == "sum":
            raise ValueError("avg_factor: got one for reduction='sum', expected none: it divides a mean")
        averaged = avg_factor is not None and reduction == "mean"
        self.criterion.reduction = "sum" if averaged else reduction
        if ignore_index is not None:
            self.criterion.ignore_index = ignore_index
        return averaged


class FusedResize:
    """Before a head in the bases of a class: its logits reach the losses of this module as small as they are."""

    def loss_by_feat(self: Any, seg_logits: Tensor, batch_data_samples: Any) -> dict[str, Tensor]:
        parts = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        if self.sampler is not None or not any(isinstance(part, Loss) for part in parts):
            # A sampler looks at logits of full size; without a loss of ours there is nothing to gain.
            return super().loss_by_feat(seg_logits, batch_data_samples)  # type: ignore[misc]
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        losses: dict[str, Tensor] = {}
        accuracy = full = None
        for part in parts:
            name = str(part.loss_name)
            if isinstance(part, Loss):
                loss, stats = part.with_statistics(seg_logits, labels, self.ignore_index, self.align_corners)
                accuracy = _accuracy(stats) if accuracy is None else accuracy
            else:
                if full is None:
                    full = resize(seg_logits, size=labels.shape[1:], mode="bilinear", align_corners=self.align_corners)
                loss = part(full, labels, weight=None, ignore_index=self.ignore_index)
            losses[name] = losses[name] + loss if name in losses else loss
        assert accuracy is not None
        return losses | {"acc_seg": accuracy}


def _accuracy(stats: Statistics) -> Tensor:
    """mmsegmentation's, in percent; 100 where nothing is labelled."""
    tiny = torch.finfo(torch.float32).eps
    return 100 * (stats.correct.sum() + tiny) / (stats.labelled.sum() + tiny)


def _register() -> None:
    for name, key in LOSSES.items():
        _add(f"Fused{name}", (Loss,), kind=getattr(losses, name), default_name=key, __doc__=Loss.__doc__)
    for head in list(MODELS.module_dict.values()):
        if getattr(head, "loss_by_feat", None) is BaseDecodeHead.loss_by_feat:
            _add(f"Fused{head.__name__}", (FusedResize, head), __doc__=head.__doc__)


def _add(name: str, bases: tuple[type, ...], **members: Any) -> None:
    """To the registry and to this module, where pickle looks for it."""
    made = type(name, bases, members | {"__module__": __name__})
    MODELS.register_module(module=made)
    globals()[name] = made


_register()
