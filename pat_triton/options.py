"""The options of a loss: their types, and how each is checked whenever it is assigned."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict, Union

import torch.distributed as dist
from torch import Tensor

from . import adjustment, checks, weights
from .adjustment import Adjustment
from .curves import as_curve
from .sharing import held

IGNORE_INDEX = checks.Default(255)  # what nobody said
Reduction = Literal["mean", "sum", "none"]
Backend = Literal["auto", "triton", "torch"]
Numbers = Sequence[float] | Tensor
Gradient = Literal["auto", "one_pass", "recompute"]
Sharding = Literal["images", "rows"]
ProcessGroup = Union["dist.ProcessGroup", Literal["world"], None]


class Common(TypedDict, total=False):
    """What every loss takes, by keyword; documented at ``SegmentationLoss``."""

    ignore_index: int | Sequence[int]
    reduction: Reduction
    loss_weight: float
    align_corners: bool
    backend: Backend
    gradient: Gradient
    validate: bool
    process_group: ProcessGroup
    sharding: Sharding


class Weighted(Common, total=False):
    weight: Numbers | None


class Counted(Common, total=False):
    class_counts: Numbers | None


class Options(Weighted, Counted, total=False):
    """All of them."""


def _adjustments(name: str, value: Any) -> tuple[Adjustment, ...]:
    parts = tuple(value) if isinstance(value, tuple | list) else (value,)
    for part in parts:
        checks.part(
            name,
            part,
            "an adjustment such as pat_triton.adjustment.LogPrior(), or a tuple of them",
            adjustment.__name__,
        )
    return parts


def _rule(name: str, value: Any) -> Any:
    return checks.part(name, value, "a rule such as pat_triton.weights.MaskSize()", weights.__name__)


def _one_of(*names: str) -> Any:
    return lambda name, value: checks.known(name, value, names)


# What a criterion keeps as buffers; ``validate`` is its option.
BUFFERS: dict[str, Callable[[str, Any, bool], Tensor]] = {"weight": checks.weights, "class_counts": checks.counts}
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "curve": lambda _, value: as_curve(value),
    "adjustment": _adjustments,
    "weights": _rule,
    "ignore_index": checks.ignore_index,
    "reduction": _one_of("mean", "sum", "none"),
    "loss_weight": checks.finite,
    "align_corners": checks.flag,
    "backend": _one_of("auto", "triton", "torch"),
    "gradient": _one_of("auto", "one_pass", "recompute"),
    "validate": checks.flag,
    "process_group": held,
    "sharding": _one_of("images", "rows"),
}
