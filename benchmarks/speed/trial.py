"""One run: every contestant is checked, then all that passed are measured in turn."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ..device import Machine
from .busy import busy
from .case import Case, example
from .contest import LOSSES, RIVALS, Contestant, contestants, everyone
from .cost import measured
from .gate import SEED, Truth, no_worse_than_eager
from .record import Record, Row
from .shapes import Shape
from .timing import host_seconds

# Logits; up to these the GPU keeps up with many calls, and beyond them with one.
SMALL = 1 << 20

Say = Callable[[str], None]


def run(
    job: str, name: str, shape: Shape, source: tuple[int, int], dtype: str, machine: Machine, device: torch.device,
    *, losses: Sequence[str] = LOSSES, rivals: Sequence[str] = RIVALS,
    budget: float = 1.0, compile_until: float = float("inf"), load: int = 0, say: Say = lambda _: None,
) -> Record:  # fmt: skip
    """source: (h, w) of the logits. budget: seconds of timing for each contestant. compile_until: the
    ``time.monotonic`` after which nothing more is compiled. load: busy processes beside the timed calls."""
    case = example(shape, source, dtype, device)
    torch.compiler.reset()  # what other runs compiled counts against a limit, and is tried first
    rows: dict[Contestant, Row] = {}
    for loss in losses:
        rows |= checked(loss, case, everyone(device, rivals), compile_until, say)
    say("measuring")
    with busy(load):
        timed = priced(rows, case, budget)
    return Record(job, name, shape, source, dtype, case.floor_bytes, machine, timed, load)


def priced(
    rows: Mapping[Contestant, Row], case: Case, budget: float, turns: tuple[int, int] | None = None
) -> tuple[Row, ...]:
    """With the costs of those that passed their check; turns: as of ``times``, and then without the host's time."""
    steps = {
        str(c): partial(case.step, c.call) for c, row in rows.items() if not row.not_run and not isinstance(c.call, str)
    }
    costs = measured(steps, case.logits, case.target, budget, turns)
    hosts = {}
    if case.device.type == "cuda" and turns is None:
        calls = 20 if case.logits.numel() <= SMALL else 1
        hosts = {name: host_seconds(step, case.device, calls) for name, step in steps.items()}
    return tuple(replace(row, cost=costs.get(str(c)), host_seconds=hosts.get(str(c))) for c, row in rows.items())


def checked(
    loss: str, case: Case, names: Sequence[str], compile_until: float = float("inf"), say: Say = lambda _: None
) -> dict[Contestant, Row]:
    """The errors of a loss's contestants of these names, or why they are not run; ValueError on a wrong result."""
    truth, rows = Truth(loss, case), {}
    for contestant in contestants(loss, case, names):
        say(f"checking {contestant}")
        late = contestant.name == "compiled" and time.monotonic() > compile_until
        result = "the time for compiling was up" if late else _first_call(contestant, case)
        row = Row(loss, contestant.name)
        if isinstance(result, str):
            rows[contestant] = replace(row, not_run=result)
            continue
        formula = Truth(loss, case, released=True) if contestant.name == "released" else truth
        loss_error, gradient_error = formula.judge(contestant, *result, case)
        rows[contestant] = replace(row, loss_error=loss_error, gradient_error=gradient_error)
    no_worse_than_eager(rows, case.logits.dtype)
    return rows


def _first_call(contestant: Contestant, case: Case) -> tuple[Tensor, Tensor] | str:
    """The loss and its gradient, or why a rival has none: no compiler, no memory."""
    if isinstance(contestant.call, str):
        return contestant.call
    torch.manual_seed(SEED)
    try:
        return case.step(contestant.call)
    except RuntimeError as error:
        if contestant.ours:
            raise
        lines = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {lines[0][:100]}"
