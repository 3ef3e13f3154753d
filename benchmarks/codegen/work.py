"""What a warp does in one program of a kernel, counted from its machine code."""

import dataclasses
from collections.abc import Sequence

from .assembly import Instruction

# What the unit for exponentials and conversions does.
SPECIAL = ("MUFU", "I2F", "F2I", "F2F", "POPC", "FLO", "BREV", "FRND")
# Cycles until a result is there, of the units that hold a scoreboard. Of global memory none: how long it takes
# depends on what else runs, and with any latency that was tried measured times were not predicted better.
LATENCY = {
    **dict.fromkeys(SPECIAL, 24),
    **dict.fromkeys(("LDS", "LDSM", "ATOMS", "SHFL"), 28),
    **dict.fromkeys(("LDC", "ULDC", "S2R", "S2UR", "R2UR"), 30),
    "LDL": 35,
    "LDG": 0,
}
OTHER = 20  # of anything else that holds one, and until operands are read
BUSY = 8  # cycles between two of SPECIAL


@dataclasses.dataclass(frozen=True)
class Work:
    """executed: instructions. barriers: where it waits for the block's other warps. local: accesses to local
    memory, which are spills. alone: cycles that it takes with a scheduler to itself and a memory that answers at
    once; None where the compiler does not say what waits for what."""

    executed: float
    barriers: float
    local: float
    alone: float | None


def of(instructions: Sequence[Instruction], runs: Sequence[float]) -> Work:
    """runs: how often each instruction is executed."""
    named = [(x.op.split(".")[0], often) for x, often in zip(instructions, runs, strict=True)]
    return Work(
        executed=sum(runs),
        barriers=sum(often for op, often in named if op == "BAR"),
        local=sum(often for op, often in named if op in ("LDL", "STL")),
        alone=alone(instructions, runs),
    )


def alone(instructions: Sequence[Instruction], runs: Sequence[float]) -> float | None:
    """Once through the text, what does not run left out: each instruction and the wait before it count as often as
    it runs. So what a loop's first instructions wait for of its last ones is missing."""
    total, now, free = 0.0, 0.0, 0.0
    clear = [0.0] * 6
    for x, often in zip(instructions, runs, strict=True):
        if x.issue is None:
            return None
        if not often:
            continue
        op = x.op.split(".")[0]
        start = max([now, *(clear[board] for board in x.issue.waits)])
        if op in SPECIAL:
            start = max(start, free)
            free = start + BUSY
        if x.issue.result is not None:
            clear[x.issue.result] = max(clear[x.issue.result], start + LATENCY.get(op, OTHER))
        if x.issue.operands is not None:
            clear[x.issue.operands] = max(clear[x.issue.operands], start + OTHER)
        end = start + max(x.issue.stall, 1)
        total += often * (end - now)
        now = end
    return total
