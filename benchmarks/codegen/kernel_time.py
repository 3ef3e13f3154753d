"""How long an H200 takes for a launch, from what its machine code does: fitted to measured tiles, not derived.

A multiprocessor has four schedulers. For each warp that one of them runs from start to end it spends

    cycles = executed + waiting * alone / warps + barrier * barriers / blocks

executed: a cycle to issue each instruction. alone / warps: what the warp takes by itself, shared by the ``warps`` that
are resident on the scheduler. barriers / blocks: at a barrier a block's warps wait for the last of them, and only the
multiprocessor's other ``blocks`` have something to do. Then

    compute = warps of the launch / schedulers of the GPU * cycles / clock
    memory  = (bytes + spill * bytes of spills) / bandwidth of a copy
    time    = (compute ** p + memory ** p) ** (1 / p) + START,   p = 1 + overlap * sqrt(blocks)

The more blocks, the better do some compute while others wait for memory: p = 1 would be one after the other, a large p
the longer of the two. Exponentials, shuffles and conversions are in ``alone``: cycles of their units, or of the one for
integers and comparisons, beside those of issue predicted no better.

Not modelled: lanes of a warp that touch memory far apart (``VECTOR`` 1 with a class a lane takes up to 10 times longer
than this says), the last wave of programs, fp64's units, another GPU.
"""

import dataclasses
import math

from .bounds import H200
from .machine_code import Code

LANES = 32
ACCESS = 4 * LANES  # bytes of a warp's access to local memory
START = 5e-6  # seconds for a launch to fill and to drain the GPU, and to add up its partial sums; not fitted


@dataclasses.dataclass(frozen=True)
class Demand:
    """Of a launch. warps: of a program. resident: warps of a multiprocessor that run at once. bytes: whole sectors, of
    all programs. The others are ``Work``, of a warp."""

    programs: int
    warps: int
    resident: int
    executed: float
    alone: float
    barriers: float
    local: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """waiting: share of ``alone`` that the resident warps do not hide from each other. barrier: cycles. spill: of a
    copy's time for as many bytes. overlap: of computing and memory."""

    waiting: float
    barrier: float
    spill: float
    overlap: float


# By ``python -m benchmarks.codegen.fit_kernel_time``.
FITTED = Coefficients(waiting=0.7921, barrier=88.6148, spill=0.596, overlap=1.4077)


def demand(code: Code, moved: int) -> Demand | None:
    """moved: bytes of a program, in whole sectors. None where the code does not tell."""
    work = code.work
    if work is None or work.alone is None:
        return None
    return Demand(
        code.programs,
        code.tile["num_warps"],
        code.resident,
        work.executed,
        work.alone,
        work.barriers,
        work.local,
        code.programs * moved,
    )


def seconds(launch: Demand, by: Coefficients = FITTED) -> float:
    blocks, warps = launch.resident / launch.warps, launch.resident / H200.schedulers
    cycles = launch.executed + by.waiting * launch.alone / warps + by.barrier * launch.barriers / blocks
    all_warps = launch.programs * launch.warps
    compute = all_warps / (H200.multiprocessors * H200.schedulers) * cycles / H200.clock
    memory = (launch.bytes + by.spill * ACCESS * launch.local * all_warps) / H200.bandwidth
    p = 1 + by.overlap * math.sqrt(blocks)
    return float((compute**p + memory**p) ** (1 / p)) + START
