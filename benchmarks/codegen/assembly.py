"""Machine code as text: the instructions of a kernel, and how wide those are that touch global memory."""

import dataclasses
import re
from pathlib import PurePath


@dataclasses.dataclass(frozen=True)
class Issue:
    """What NVIDIA's compiler tells the scheduler. stall: cycles until the warp's next instruction may start.
    waits: scoreboards that must be clear before this one does. result, operands: the scoreboard that it holds
    until its result is there, until its operands are read."""

    stall: int
    waits: tuple[int, ...]
    result: int | None
    operands: int | None


@dataclasses.dataclass(frozen=True)
class Instruction:
    """goes: the label that it jumps to or calls. falls: whether the next instruction may follow it.
    line: (file, line) of the kernel's source, innermost of what was inlined, as far as the compiler kept it.
    issue: where the listing has the encoding."""

    op: str
    goes: str | None
    falls: bool
    line: tuple[str, int]
    issue: Issue | None = None

    @property
    def calls(self) -> bool:
        """A subroutine; ptxas also jumps by a CALL to a label of the kernel's own."""
        return self.op.startswith("CALL") and self.goes is not None and self.goes.startswith("$")

    @property
    def access(self) -> tuple[bool, int] | None:
        """Of global memory: (whether it writes, bits a thread)."""
        if found := re.match(r"(LD|ST|ATOM|RED)G?\.E\b", self.op):
            bits = re.search(r"\.[US]?(8|16|64|128|256)\b", self.op)
            return found[1] != "LD", int(bits[1]) if bits else 32
        if found := re.match(r"(?:global|buffer)_(load|store|atomic)_(\w+)", self.op):
            size = re.search(r"dwordx(\d)|(short)|(byte)", found[2])
            bits_of = (32 * int(size[1] or 0) or (16 if size[2] else 8)) if size else 32
            return found[1] != "load", bits_of
        return None


Listing = tuple[list[Instruction], dict[str, int]]


def nvidia(sass: str) -> Listing:
    """Instructions, and the index of the one after each label, of ``nvdisasm -g``; with ``-hex`` what each issues."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    line = ("", 0)
    for text in sass.splitlines():
        if found := re.match(r"(\.L_x_\d+|\$[\w$.]+):", text):
            labels[found[1]] = len(instructions)
        elif found := re.search(r'//## File "([^"]+)", line (\d+)', text):
            line = (PurePath(found[1]).name, int(found[2]))
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)", text):
            condition, op, rest = found.groups()
            goes = re.search(r"`\(([^)]+)\)", rest) if op.startswith(("BRA", "CALL")) else None
            made = Instruction(op, goes[1] if goes else None, True, line)
            always = not condition and not re.match(r"\s+!?U?P\d", rest)
            leaves = always and op.startswith(("BRA", "CALL", "EXIT", "RET")) and not made.calls
            instructions.append(dataclasses.replace(made, falls=not leaves))
        elif found := re.match(r"\s+/\* 0x([0-9a-f]{16}) \*/$", text):
            instructions[-1] = dataclasses.replace(instructions[-1], issue=_issue(int(found[1], 16)))
    return instructions, labels


def _issue(high: int) -> Issue:
    """Of the upper half of an encoding, as the architectures from Volta on have it: 4 bits stall, one of yielding,
    3 a scoreboard (7: none), 6 what it waits for."""
    control = high >> 41
    result, operands, waits = control >> 5 & 7, control >> 8 & 7, control >> 11
    return Issue(
        control & 15,
        tuple(board for board in range(6) if waits >> board & 1),
        result if result < 6 else None,
        operands if operands < 6 else None,
    )


def amd(amdgcn: str) -> Listing:
    """The same of LLVM's assembly."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    files: dict[str, str] = {}
    line = ("", 0)
    for text in amdgcn[: amdgcn.index("\n.Lfunc_end")].splitlines():
        if found := re.match(r"(\.LBB\w+):", text):
            labels[found[1]] = len(instructions)
        elif found := re.match(r'\s+\.file\s+(\d+) .*"([^"]+)"', text):
            files[found[1]] = found[2]
        elif found := re.match(r"\s+\.loc\s+(\d+) (\d+)", text):
            line = (files[found[1]], int(found[2]))
        elif found := re.match(r"\s+([a-z]\w+)(.*)", text):
            op, rest = found.groups()
            goes = re.search(r"\.LBB\w+", rest) if "branch" in op else None
            instructions.append(Instruction(op, goes[0] if goes else None, op not in ("s_branch", "s_endpgm"), line))
    return instructions, labels
