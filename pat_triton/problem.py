"""What a path needs besides logits and target: the three parts made concrete for one call."""

import dataclasses
from typing import NamedTuple, Protocol

from torch import Tensor

from .adjustment import Tables
from .curves import Curve


@dataclasses.dataclass(frozen=True)
class Problem:
    """tables (L,) and weights (B, L) in the compute dtype: fp64 for fp64 logits, otherwise fp32."""

    curve: Curve
    tables: Tables
    weights: Tensor
    seed: Tensor | None
    ignore_index: int


class Result(NamedTuple):
    """loss: () or (B, *spatial) in the compute dtype; gradient: the logits' shape, dtype and, if dense, strides."""

    loss: Tensor | None
    gradient: Tensor | None


class Path(Protocol):
    """One way to execute: plain torch or the kernels."""

    def histogram(self, target: Tensor, classes: int, ignore_index: int) -> Tensor:
        """int64 (B, L + 1): S[b, l] and, last, the labels that are neither a class nor ignored."""
        ...

    def run(
        self, logits: Tensor, target: Tensor, problem: Problem, *,
        reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None,
    ) -> Result:  # fmt: skip
        """The loss, and with ``gradient`` its gradient; with ``grad_output`` (a scalar, or of the
        target's shape) the gradient alone, times it."""
        ...

    def rescale(self, gradient: Tensor, factor: Tensor) -> None:
        """Multiply in place by a scalar; free where it is 1."""
        ...
