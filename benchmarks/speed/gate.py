"""Whether a contestant computes what it says: no speed is reported on a red check."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .case import Case
from .contest import Contestant
from .formulas import IGNORED
from .ours import draws, options, ours, truth
from .record import Row

SEED = 3
# Most that a formula may be off the truth, in its gradient (relative L2) and its loss. Sums of millions of
# pixels in fp32, LDAM's logits times 30; bf16 rounds by 2 ** -9, and the released PAT divides by T in 16 bits.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
# Most that ours may be further off than the eager formula: the order of summation, the last rounding.
SLACK = {torch.float32: 2e-6, torch.float16: 5e-4, torch.bfloat16: 2e-3}


class Truth:
    """A loss and its gradient by the reference's formula in fp64, on the same logits."""

    def __init__(self, loss: str, case: Case, released: bool = False) -> None:
        variant = {"variant": "release"} if released and loss == "PATLoss" else {}
        criterion = truth(loss, **options(loss, case.counts), **variant)
        logits = case.logits.detach().double().requires_grad_()
        self.draws = draws(ours(loss))
        value = criterion(logits, case.target, **({"seed": self._key(case.device)} if self.draws else {}))
        if released and self.draws:
            value = value * (case.target != IGNORED).double().mean()
        self.value = value.item()
        (self.gradient,) = torch.autograd.grad(value, logits)
        self.labelled = int((case.target != IGNORED).sum())

    @staticmethod
    def _key(device: torch.device) -> tuple[int, ...]:
        """What ours draws its noise from after ``torch.manual_seed(SEED)``."""
        torch.manual_seed(SEED)
        return tuple(torch.randint(0, 1 << 32, (2,), device=device).tolist())

    def judge(self, contestant: Contestant, value: Tensor, gradient: Tensor, case: Case) -> tuple[float, float | None]:
        """Relative errors of loss and gradient, the latter by L2 norm and None for noise of another draw.

        ValueError if the contestant computes something else.
        """
        loss_error = abs(value.item() - self.value) / abs(self.value)
        if self.draws and not contestant.ours:
            # A mean over pixels of other noise, each of which spreads by less than the loss itself.
            _require(str(contestant), "the loss", loss_error, 10 / math.sqrt(self.labelled))
            return loss_error, None
        distance = (gradient.double() / case.scale - self.gradient).norm() / self.gradient.norm()
        gradient_error = distance.item()
        _require(str(contestant), "the loss", loss_error, TOLERANCE[case.logits.dtype])
        _require(str(contestant), "the gradient", gradient_error, TOLERANCE[case.logits.dtype])
        return loss_error, gradient_error


def no_worse_than_eager(rows: Mapping[Contestant, Row], dtype: torch.dtype) -> None:
    """ValueError if ours is further from the truth than the eager formula of the same loss and dtype, if that ran."""
    eager = next((row for row in rows.values() if row.contestant == "eager"), None)
    if eager is None or eager.not_run or eager.gradient_error is None:
        return
    for contestant, row in rows.items():
        if contestant.ours and not row.not_run:
            for what in ("loss", "gradient"):
                ours, theirs = (getattr(r, f"{what}_error") for r in (row, eager))
                _require(str(contestant), f"the {what}", ours, theirs + SLACK[dtype])


def _require(name: str, what: str, error: float, most: float) -> None:
    if not error <= most:
        raise ValueError(f"{name}: {what} is off by {error:.2g}, more than {most:.2g}; no speed is reported")
