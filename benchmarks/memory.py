"""What one program of a kernel moves to and from the memory of each argument, and how wide its accesses are."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from .assembly import Instruction
from .ttgir import Access

SECTOR = 32  # bytes; what memory and cache hand over at once


@dataclasses.dataclass(frozen=True)
class Moved:
    """Bytes of the lanes that are not masked off: ``asked``, every access; ``distinct``, every address once;
    ``sectors``, whole sectors of them. The last two are None where addresses depend on data.

    widths: instructions that a thread executes, by the bits of each.
    """

    argument: str
    writes: bool
    itemsize: int
    asked: int
    distinct: int | None
    sectors: int | None
    widths: dict[int, float]


def moved(accesses: Sequence[Access], instructions: Sequence[Instruction], runs: Sequence[float]) -> list[Moved]:
    widths = _widths(accesses, instructions, runs)
    made = []
    for argument, writes in dict.fromkeys((a.argument, a.writes) for a in accesses):
        these = [a for a in accesses if (a.argument, a.writes) == (argument, writes)]
        itemsize = these[0].itemsize
        places = [a.at for a in these if a.at is not None]
        distinct = sectors = None
        if len(places) == len(these):
            at = np.unique(np.concatenate(places))
            distinct = len(at) * itemsize
            sectors = len(np.unique(at // SECTOR)) * SECTOR
        asked = sum(a.elements * a.itemsize for a in these)
        made.append(Moved(argument, writes, itemsize, asked, distinct, sectors, dict(widths[argument, writes])))
    return made


def _widths(
    accesses: Sequence[Access], instructions: Sequence[Instruction], runs: Sequence[float]
) -> dict[tuple[str, bool], dict[int, float]]:
    """By argument and direction. An instruction is of the last access at or before its line: NVIDIA's compiler
    counts on through the lines of the inline assembly that an access becomes."""
    lines = {(a.line, a.writes): a.argument for a in accesses}
    made: dict[tuple[str, bool], dict[int, float]] = {(a.argument, a.writes): defaultdict(float) for a in accesses}
    for instruction, often in zip(instructions, runs, strict=True):
        if instruction.access and often:
            writes, bits = instruction.access
            file, line = instruction.line
            before = [at for at in lines if at[1] == writes and at[0][0] == file and at[0][1] <= line]
            if before:
                made[lines[max(before)], writes][bits] += often
    return made
