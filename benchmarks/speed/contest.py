"""Who competes: for every loss ours on each path, the eager formula, its compilation, and what research released."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import torch

from . import formulas, liger, released
from .case import Case
from .cost import Loss
from .ours import NAMES, options, ours

OURS = ("triton", "torch")
RIVALS = ("compiled", "released", "liger")  # besides the eager formula, which is always there
LOSSES = NAMES
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


def everyone(device: torch.device, rivals: Sequence[str]) -> tuple[str, ...]:
    """Ours on each path, the eager formula, and these rivals."""
    return (*paths(device), "eager", *rivals)


def contestants(loss: str, case: Case, names: Sequence[str]) -> Iterator[Contestant]:
    """Those of one loss that are named and that there are, ours first."""
    for backend in (path for path in paths(case.device) if path in names):
        missing = backend == "triton" and not find_spec("triton")
        criterion = ours(loss, **options(loss, case.counts), backend=backend).to(case.device)
        yield Contestant(loss, backend, "triton is not installed" if missing else criterion)
    formula = formulas.FORMULAS[loss]
    tables = formula.tables(case.counts)
    if "eager" in names:
        yield Contestant(loss, "eager", case.as_trained(formula.loss, *tables))
    if "compiled" in names:
        yield Contestant(loss, "compiled", case.as_trained(torch.compile(formula.loss, dynamic=False), *tables))
    if "released" in names and loss in released.RELEASED:
        theirs = released.RELEASED[loss]
        yield Contestant(loss, "released", case.as_trained(theirs.loss, *theirs.tables(case.counts)))
    if "liger" in names and loss == "CrossEntropyLoss" and case.device.type == "cuda":
        yield Contestant(loss, "liger", liger.unavailable(case.logits.dtype) or case.as_trained(liger.cross_entropy))


def paths(device: torch.device) -> tuple[str, ...]:
    """Ours that are real on the device; the first is the one that "auto" takes."""
    if device.type == "cpu":
        return ("torch",)
    if find_spec("triton") and import_module("pat_triton.backends.triton.backend").INTERPRETED:
        raise ValueError("TRITON_INTERPRET: got 1, expected it unset: the interpreter is for tests, and is not timed")
    return OURS
