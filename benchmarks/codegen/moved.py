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
    ``sectors``, whole sectors of them. The last two are None of accesses whose addresses depend on data, such as that
    to the label's logit, which count apart.

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
    for kind in dict.fromkeys(map(_kind, accesses)):
        these = [a for a in accesses if _kind(a) == kind]
        argument, writes, known = kind
        itemsize = these[0].itemsize
        distinct = sectors = None
        if known:
            at = np.unique(np.concatenate([a.at for a in these if a.at is not None]))
            distinct = len(at) * itemsize
            sectors = len(np.unique(at // SECTOR)) * SECTOR
        asked = sum(a.elements * a.itemsize for a in these)
        made.append(Moved(argument, writes, itemsize, asked, distinct, sectors, dict(widths[kind])))
    return made


Kind = tuple[str, bool, bool]


def _kind(access: Access) -> Kind:
    """Argument, direction, and whether the addresses are known."""
    return access.argument, access.writes, access.at is not None


def _widths(
    accesses: Sequence[Access], instructions: Sequence[Instruction], runs: Sequence[float]
) -> dict[Kind, dict[int, float]]:
    """By kind. An instruction is of the last access at or before its line: NVIDIA's compiler
    counts on through the lines of the inline assembly that an access becomes."""
    lines = {(a.line, a.writes): _kind(a) for a in accesses}
    made: dict[Kind, dict[int, float]] = {_kind(a): defaultdict(float) for a in accesses}
    for instruction, often in zip(instructions, runs, strict=True):
        if instruction.access and often:
            writes, bits = instruction.access
            file, line = instruction.line
            before = [at for at in lines if at[1] == writes and at[0][0] == file and at[0][1] <= line]
            if before:
                made[lines[max(before)]][bits] += often
    return made
