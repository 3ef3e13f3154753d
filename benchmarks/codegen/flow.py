"""How often each instruction of a listing runs, from its loops and how often those turn.

Both ways of a branch count, so that a figure is the most that a thread executes. Only what is called from a
block that can be jumped over and that leaves memory alone is not: fp64's division of unusual numbers. A loop
turns as often as the IR's in its place, by as many times less as the compiler has unrolled it: what it reads in a turn
is a multiple of what the IR's does. Turns that are left over then stand behind the loop.
"""

import math
from collections.abc import Sequence

from .assembly import Instruction, Listing
from .ttgir import Loop


def frequencies(listing: Listing, loops: Sequence[Loop]) -> list[float] | None:
    """How often a thread executes each instruction; None where the listing's loops are not ``loops``."""
    instructions, labels = listing
    starts, after = _graph(instructions, labels)
    above = _dominators(after)
    found = _loops(after, above)
    nests = [sum(block in body for _, body in found) - 1 for block, _ in found]
    if nests != [loop.depth for loop in loops]:
        return None
    turns = {}
    for (head, body), loop in zip(found, loops, strict=True):
        inner = set[int]().union(*(other for _, other in found if other < body))
        own = [x for b in body - inner for x in instructions[starts[b] : [*starts, len(instructions)][b + 1]]]
        each = loop.turns / max(loop.entries, 1)
        copies = _copies(own, loop)
        turns[head] = each if copies == 1 else each // copies
    leaves = [b for b in above if not after[b]]
    runs = [0.0] * len(instructions)
    for block in above:
        start, end = starts[block], [*starts, len(instructions)][block + 1]
        part = instructions[start:end]
        calls = [labels[x.goes] for x in part if x.calls and x.goes]
        if calls and not any(x.access for x in part) and not all(block in above[leaf] for leaf in leaves):
            continue
        often = math.prod(turns[head] for head, body in found if block in body)
        for first, last in ((start, end), *((call, _return(instructions, call)) for call in calls)):
            for i in range(first, last):
                runs[i] += often
    return runs


def _copies(body: Sequence[Instruction], loop: Loop) -> int:
    """How many of the IR's turns a turn of the machine's loop makes."""
    if loop.reads is None:
        return 1
    line, asked = loop.reads
    bits = sum(x.access[1] for x in body if x.access and not x.access[0] and x.line == line)
    copies = bits / 8 / asked
    return int(copies) if copies >= 1 and copies == int(copies) else 1


def _return(instructions: Sequence[Instruction], start: int) -> int:
    """The index after the end of the subroutine."""
    return next(i for i in range(start, len(instructions)) if instructions[i].op.startswith("RET")) + 1


def _graph(instructions: Sequence[Instruction], labels: dict[str, int]) -> tuple[list[int], list[list[int]]]:
    """Where blocks begin, and which follow each."""
    jumps = [i for i, x in enumerate(instructions) if (x.goes and not x.calls) or not x.falls]
    starts = sorted({0, *labels.values(), *(i + 1 for i in jumps)} - {len(instructions)})
    number = {start: n for n, start in enumerate(starts)}
    after: list[list[int]] = []
    for end in [*starts[1:], len(instructions)]:
        last = instructions[end - 1]
        to = [number[labels[last.goes]]] if last.goes and not last.calls else []
        after.append(to + ([number[end]] if last.falls and end in number else []))
    return starts, after


def _dominators(after: list[list[int]]) -> dict[int, set[int]]:
    """Of each block that can be reached: the blocks that every way to it goes through, itself included."""
    reached = [0]
    for block in reached:
        reached += [b for b in after[block] if b not in reached]
    before = {b: [a for a in reached if b in after[a]] for b in reached}
    above = {b: set(reached) for b in reached} | {0: {0}}
    changed = True
    while changed:
        changed = False
        for b in reached[1:]:
            new = set.intersection(*(above[a] for a in before[b])) | {b}
            changed |= new != above[b]
            above[b] = new
    return dict(sorted(above.items()))


def _loops(after: list[list[int]], above: dict[int, set[int]]) -> list[tuple[int, set[int]]]:
    """(first block, all blocks) of each natural loop, in the order of the text."""
    found: dict[int, set[int]] = {}
    for block in above:
        for head in after[block]:
            if head in above[block]:
                body = found.setdefault(head, {head})
                waiting = [block]
                while waiting:
                    b = waiting.pop()
                    if b not in body:
                        body.add(b)
                        waiting += [a for a in above if b in after[a]]
    return sorted(found.items())
