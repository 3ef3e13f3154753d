"""Who competes: for every loss ours on each path, the eager formula, its compilation, and what research released."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

import pat_triton

from . import eager, liger, research
from .case import Case
from .cost import Loss

OURS = ("triton", "torch")
RIVALS = ("compiled", "released", "liger")  # besides the eager formula, which is always there
COUNTED = ("ClassBalancedLoss", "ClassBalancedFocalLoss", "BalancedSoftmaxLoss", "LDAMLoss", "BLVLoss")
LOSSES = tuple(eager.FORMULAS)
BASE = "CrossEntropyLoss"  # whose eager formula is F.cross_entropy


@dataclass(frozen=True)
class Contestant:
    """name: "triton" or "torch" for ours, else "eager" or one of ``RIVALS``. call: or why it is not run."""

    loss: str
    name: str
    call: Loss | str

    @property
    def ours(self) -> bool:
        return self.name in OURS

    def __str__(self) -> str:
        return f"{self.loss}, {self.name}"


def contestants(loss: str, case: Case, rivals: Sequence[str]) -> Iterator[Contestant]:
    """Of one loss, ours first."""
    for backend in paths(case.device):
        missing = backend == "triton" and not find_spec("triton")
        ours = getattr(pat_triton, loss)(**options(loss, case), backend=backend).to(case.device)
        yield Contestant(loss, backend, "triton is not installed" if missing else ours)
    formula = eager.FORMULAS[loss]
    tables = formula.tables(case.counts)
    yield Contestant(loss, "eager", case.as_trained(formula.loss, *tables))
    if "compiled" in rivals:
        yield Contestant(loss, "compiled", case.as_trained(torch.compile(formula.loss, dynamic=False), *tables))
    if "released" in rivals and loss in research.RELEASED:
        released = research.RELEASED[loss]
        yield Contestant(loss, "released", case.as_trained(released.loss, *released.tables(case.counts)))
    if "liger" in rivals and loss == "CrossEntropyLoss" and case.device.type == "cuda":
        yield Contestant(loss, "liger", liger.unavailable(case.logits.dtype) or case.as_trained(liger.cross_entropy))


def paths(device: torch.device) -> tuple[str, ...]:
    """Ours that are real on the device; the first is the one that "auto" takes."""
    if device.type == "cpu":
        return ("torch",)
    if find_spec("triton") and import_module("pat_triton.kernels.path").INTERPRETED:
        raise ValueError("TRITON_INTERPRET: got 1, expected it unset: the interpreter is for tests, and is not timed")
    return OURS


def options(loss: str, case: Case) -> dict[str, Any]:
    """Arguments of the loss, in ``pat_triton`` and in ``reference``."""
    return {"class_counts": case.counts} if loss in COUNTED else {}
