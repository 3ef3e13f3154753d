"""Triton's GPU IR of a kernel, evaluated for one program: which addresses it reads and writes.

Integers and pointers are computed. Floats, and whatever comes from memory, are unknown (None): an unknown
mask lets all through, an unknown branch is taken, elements at an unknown address are counted but not placed.
"""

import dataclasses
import json
import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .ir_text import NAME, Operation, parse, places


@dataclasses.dataclass(frozen=True)
class Pointer:
    """Into the memory of a kernel's argument: ``at`` in bytes, an int, an array, or None."""

    argument: str
    at: Any


@dataclasses.dataclass(frozen=True)
class Access:
    """An operation on memory, once executed. at: where its elements begin, in bytes; None where unknown.
    line: (file, line) of the kernel's source."""

    argument: str
    writes: bool
    itemsize: int
    elements: int
    at: np.ndarray | None
    line: tuple[str, int]


@dataclasses.dataclass
class Loop:
    """How often it was come to, and how often its body ran; ``depth`` 0 is the outermost. reads: the line where a turn
    reads most, and how many bytes a thread reads there; None where it reads nothing that all threads share."""

    depth: int
    entries: int = 0
    turns: int = 0
    reads: tuple[tuple[str, int], float] | None = None


def _divide(a: Any, b: Any) -> Any:
    """Towards 0, as the machine does."""
    return abs(a) // abs(b) * np.sign(a) * np.sign(b)


# Arrays have the shape of their type; what is the same everywhere may be a scalar.
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "addi": operator.add, "subi": operator.sub, "muli": operator.mul, "divsi": _divide, "divui": _divide,
    "remsi": lambda a, b: a - _divide(a, b) * b, "remui": operator.mod,
    "minsi": np.minimum, "minui": np.minimum, "maxsi": np.maximum, "maxui": np.maximum,
    "andi": operator.and_, "ori": operator.or_, "xori": operator.xor, "shli": operator.lshift,
    "shrsi": operator.rshift, "shrui": operator.rshift,
}  # fmt: skip
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "slt": operator.lt, "sle": operator.le, "sgt": operator.gt,
    "sge": operator.ge, "ult": operator.lt, "ule": operator.le, "ugt": operator.gt, "uge": operator.ge,
}  # fmt: skip
RESHAPE: dict[str, Callable[[Any, Any], Any]] = {
    "tt.expand_dims": np.reshape, "tt.reshape": np.reshape, "tt.broadcast": np.broadcast_to,
    "tt.trans": lambda x, _: np.transpose(x),
}  # fmt: skip
SAME = {"tt.splat", "ttg.convert_layout", "arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast"}


class Evaluation:
    """accesses: in the order of execution. loops: in the order of the text.

    arguments: by the names that they have in the IR, tensors as Pointer, ints as they are.
    """

    def __init__(self, ir: str, arguments: Mapping[str, Any], program: int, programs: int) -> None:
        self.accesses: list[Access] = []
        self._loops: dict[int, Loop] = {}
        self._programs = {"tt.get_program_id": program, "tt.get_num_programs": programs}
        self._places = places(ir)
        self._threads = math.prod(int(n) for n in re.findall(r'"ttg\.(?:num-warps|threads-per-warp)" = (\d+)', ir))
        names, body = parse(ir)
        self._values: dict[str, Any] = {name: arguments[name[1:]] for name in names}
        self._find_loops(body, 0)
        self._run(body)

    @property
    def loops(self) -> list[Loop]:
        return list(self._loops.values())

    def _find_loops(self, body: list[Operation], depth: int) -> None:
        for o in body:
            is_loop = o.name == "scf.for"
            if is_loop:
                self._loops[id(o)] = Loop(depth, reads=self._reads(o.regions[0]))
            for region in o.regions:
                self._find_loops(region, depth + is_loop)

    def _reads(self, body: list[Operation]) -> tuple[tuple[str, int], float] | None:
        """See ``Loop``; of inner loops nothing. Threads may repeat each other's reads of fewer elements."""
        read: dict[tuple[str, int], float] = defaultdict(float)
        for o in body:
            if re.search(r"\b(buffer_)?load$", o.name) and math.prod(o.shape) >= self._threads:
                read[self._places.get(o.place, ("", 0))] += math.prod(o.shape) * o.itemsize / self._threads
        return max(read.items(), key=lambda item: item[1], default=None)

    def _run(self, body: list[Operation]) -> list[Any]:
        """What the region yields."""
        for o in body:
            if o.name == "scf.yield":
                return [self._values[name] for name in o.operands]
            self._values |= dict(zip(o.results, self._results(o), strict=True))
        return []

    def _results(self, o: Operation) -> list[Any]:
        if o.name == "scf.for":
            return self._for(o)
        given = [self._values[name] for name in o.operands]
        if o.name == "scf.if":
            refused = given[0] is not None and not given[0]
            regions = o.regions[1:] if refused else o.regions
            return self._run(regions[0]) if regions else []
        if o.name in self._programs:
            return [self._programs[o.name]]
        if re.search(r"\b(buffer_)?(load|store|atomic_\w+)$", o.name):
            self._access(o, given)
            return [None] * len(o.results)
        if o.name.startswith(("scf.", "cf.", "tt.call", "tt.descriptor", "ttg.async", "ttng.async")):
            raise ValueError(f"ir: {o.name} is not evaluated")
        return [compute(o, given)] * len(o.results)

    def _for(self, o: Operation) -> list[Any]:
        (index, first), *carried = re.findall(rf"({NAME}) = ({NAME})", o.rest)
        bounds = [first, *re.findall(rf"(?:to|step) ({NAME})", o.rest)]
        values = [self._values[name] for _, name in carried]
        loop = self._loops[id(o)]
        loop.entries += 1
        for i in range(*(self._values[name] for name in bounds)):
            loop.turns += 1
            self._values |= {index: i} | {name: v for (name, _), v in zip(carried, values, strict=True)}
            values = self._run(o.regions[0])
        return values

    def _access(self, o: Operation, given: list[Any]) -> None:
        writes = not o.name.endswith("load")
        base = next(i for i, value in enumerate(given) if isinstance(value, Pointer))
        at, rest = given[base].at, given[base + 1 :]
        if "buffer" in o.name:  # an offset in elements follows, and the value comes before
            at = None if rest[0] is None else at + rest[0] * o.itemsize
            rest = rest[1:]
        elif writes:
            rest = rest[1:]
        mask = np.broadcast_to(True if not rest or rest[0] is None else rest[0], o.shape)
        placed = None if at is None else np.broadcast_to(at, o.shape)[mask]
        line = self._places.get(o.place, ("", 0))
        self.accesses.append(Access(given[base].argument, writes, o.itemsize, int(mask.sum()), placed, line))


def compute(o: Operation, given: list[Any]) -> Any:
    """The result of an operation without side effects; None where it is unknown."""
    name = o.name.removeprefix("arith.")
    if name == "constant":
        written = re.match(r" (?:dense<)?(true|false|-?\d+)(?=[> ]|$)", o.rest)
        return None if written is None else json.loads(written[1])
    if name == "tt.make_range":
        return np.arange(*sorted(int(n) for n in re.findall(r"(?:start|end) = (\d+)", o.rest)))
    if given and isinstance(given[0], Pointer):
        return _pointer(o, given[0], *given[1:])
    known = [x for x in given if x is not None]
    if len(known) < len(given):
        bounded = known and name == "andi" and re.search(r"i1\b", o.type) and not np.all(known[0])
        return known[0] if bounded else None
    if o.name in SAME:
        return given[0]
    if name in RESHAPE:
        return RESHAPE[name](given[0], o.shape) if np.ndim(given[0]) else given[0]
    if name == "cmpi":
        return COMPARE[o.rest.split()[0].rstrip(",")](*given)
    if name == "select":
        return np.where(*given)
    return BINARY[name](*given) if name in BINARY else None


def _pointer(o: Operation, pointer: Pointer, *others: Any) -> Any:
    at = pointer.at
    if o.name == "tt.addptr":
        at = None if at is None or others[0] is None else at + others[0] * o.itemsize
    elif o.name in RESHAPE and np.ndim(at):
        at = RESHAPE[o.name](at, o.shape)
    return Pointer(pointer.argument, at)
