"""Predictions at the labels' size from logits of any, and the confusion matrix of them.

No tensor of L channels at that size is made, and nothing waits for the device.
"""

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor

from . import checks, private
from .call import route
from .operators import Evaluation
from .options import CHECKS, IGNORE_INDEX, Backend


@overload
def predict(
    logits: Tensor, size: Sequence[int], align_corners: bool = ..., backend: Backend = ...
) -> Tensor: ...  # fmt: skip
@overload
def predict(
    logits: Tensor, size: Sequence[Sequence[int]], align_corners: bool = ..., backend: Backend = ...
) -> list[Tensor]: ...  # fmt: skip
@torch.no_grad()
def predict(
    logits: Tensor, size: Sequence[int] | Sequence[Sequence[int]], align_corners: bool = False,
    backend: Backend = "auto",
) -> Tensor | list[Tensor]:  # fmt: skip
    """The label map of resized logits: ``F.interpolate(logits.float(), size, mode="bilinear").argmax(1)``.

    Args:
        logits: (B, L, h, w), as for the losses; (B, L, *spatial) where ``size`` is their own.
        size: (H, W) in pixels, or a list of them, one for each image.
        align_corners: as in ``F.interpolate``.
        backend: "triton", "torch" or "auto".

    Returns:
        (B, H, W) uint8 up to 256 classes, int16 up to 32768, else int32: the first class with the
        largest logit, nan being the largest, as ``argmax`` has it. Of a list of sizes a list of maps (H, W).
    """
    logits = private.plain(logits)
    checks.logits(logits)
    wanted = checks.sizes(size, logits)
    chosen = _chosen(logits, align_corners, backend)
    if isinstance(wanted, torch.Size):
        return chosen.predict(logits, wanted, align_corners)  # type: ignore[no-any-return]
    images = logits.split(1)
    return [chosen.predict(z, own, align_corners)[0] for z, own in zip(images, wanted, strict=True)]


@torch.no_grad()
def confusion_matrix(
    logits: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int | Sequence[int] = IGNORE_INDEX,
    align_corners: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """Labelled pixels of each class (row) predicted as each class (column): int64 (L, L) on the logits' device.

    Matrices of batches add up; ``pat_triton.metrics`` makes IoU, accuracy and Dice of them.

    Args:
        logits: (B, L, *spatial), and (B, L, h, w) of another size than the target, as for the losses.
        target: (B, *spatial) or (B, 1, *spatial) labels, as for the losses.
        num_classes: L, the number of classes.
        ignore_index: label of the pixels that are left out, or several, as for the losses.
        align_corners, backend: as for ``predict``.

    Raises:
        ValueError: for labels that are neither a class nor ignored, on a CPU or with PAT_TRITON_VALIDATE=1.
            On a GPU looking would mean waiting: there they make every entry negative, however many
            batches are added, and every metric nan.
    """
    logits, target = private.plain(logits), private.plain(target)
    checks.logits(logits)
    classes = checks.classes(num_classes, logits)
    target = checks.target(target, logits)
    ignored = checks.labels_to_ignore(ignore_index, classes)
    chosen = _chosen(logits, align_corners, backend)
    prediction = chosen.predict(logits, target.shape[1:], align_corners)
    counts = chosen.confusion(target, prediction, classes, ignored)
    if isinstance(chosen, Evaluation) or not checks.checks_labels(logits.device):
        return checks.mark_invalid(counts[:classes], counts[-1].any())
    checks.counted(counts, target, ignored)
    return counts[:classes]


def _chosen(logits: Tensor, align_corners: bool, backend: Backend) -> Any:
    """What executes, of these options, checked."""
    for name, value in (("backend", backend), ("align_corners", align_corners)):
        CHECKS[name](name, value)
    return route(backend, logits)
