"""Arguments checked where they enter; every message names the argument, what came, what was expected."""

from .calls import call, counts_of_call, kinds
from .labels import counted, histogram, looks_at_labels, mark_invalid, wrong_labels
from .scalars import finite, flag, index, known, non_negative, part, positive, process_group
from .tables import counts, large_enough, mask_sizes, mask_sizes_unused, per_class, same_images, vector, weights
from .tensors import (
    LABELS,
    LOGITS,
    alike,
    classes,
    confusion,
    heads,
    ignored,
    logits,
    pixel_weight,
    size,
    target,
    weights_of_heads,
)

__all__ = [
    "LABELS",
    "LOGITS",
    "alike",
    "call",
    "classes",
    "confusion",
    "counted",
    "counts",
    "counts_of_call",
    "finite",
    "flag",
    "heads",
    "histogram",
    "ignored",
    "index",
    "kinds",
    "known",
    "large_enough",
    "logits",
    "looks_at_labels",
    "mark_invalid",
    "mask_sizes",
    "mask_sizes_unused",
    "non_negative",
    "part",
    "per_class",
    "pixel_weight",
    "positive",
    "process_group",
    "same_images",
    "size",
    "target",
    "vector",
    "weights",
    "weights_of_heads",
    "wrong_labels",
]
