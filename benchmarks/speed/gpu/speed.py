"""Every loss beside its rivals at every size and dtype: ours, eager and the host first, the slowest rivals last.

A contestant is measured beside those of its own stage only: ours and eager in turn, the others minutes later.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...device import Machine, add_device, pick_timed
from ...storage import rewrite
from .. import ahead
from ..case import Case, example
from ..contest import LOSSES, OURS, RIVALS, Contestant, paths
from ..overview import markdown
from ..record import Record, Row, Suite
from ..shapes import Shape, quarter, resolve
from ..timing import machine
from ..trial import checked, priced
from .clock import Clock, part_parser, workers

SIZES = ("cityscapes", "small", "ade20k")
DTYPES = ("fp32", "bf16")
BUDGET = 0.15  # seconds of timing for each contestant
TELLING = ("CrossEntropyLoss", "PATLoss")
GIGABYTES = 9  # of the device, for a process that compiles a rival


@dataclass(frozen=True)
class Stage:
    """turns: of the timing, where fewer than usual. dtypes: a rival that draws on the CPU takes as long in all."""

    name: str
    losses: Sequence[str] = LOSSES
    dtypes: Sequence[str] = DTYPES
    turns: tuple[int, int] | None = None


OURS_AND_EAGER = Stage("ours and eager")
STAGES = (
    Stage("compiled", TELLING),
    Stage("compiled", tuple(loss for loss in LOSSES if loss not in TELLING)),
    Stage("liger", ("CrossEntropyLoss",)),
    Stage("released", ("PATLoss", "BLVLoss"), ("fp32",), (2, 2)),
)


@dataclass(frozen=True)
class Planned:
    job: str
    name: str
    shape: Shape
    source: tuple[int, int]
    dtype: str

    @property
    def task(self) -> ahead.Task:
        return self.shape, self.source, self.dtype

    def __str__(self) -> str:
        return f"{self.job} {self.name} {self.dtype} {'x'.join(map(str, self.shape))} from {self.source}"


def main() -> int:
    parser = part_parser("speed.gpu.speed", __doc__)
    add_device(parser)
    parser.add_argument("--rivals", nargs="*", choices=RIVALS, default=RIVALS, help="besides eager; default all")
    args = parser.parse_args()
    stages = [OURS_AND_EAGER, *(stage for stage in STAGES if stage.name in args.rivals)]
    if args.dry_run:
        for stage in stages:
            print(f"{stage.name}: {', '.join(stage.losses)}")
            for planned in plan(torch.device("cpu" if args.device == "cpu" else "cuda")):
                if planned.dtype in stage.dtypes:
                    print(f"    {planned}")
        print(f"nothing is begun after {args.seconds:.0f} s")
        return 0
    return run(args, stages)


def plan(device: torch.device) -> list[Planned]:
    shapes = [resolve([name], device) for name in SIZES]
    return [
        Planned(job, name, shape, source, dtype)
        for name, shape in shapes
        for job, source in (("losses", shape[2:]), ("upsample", quarter(shape)))
        for dtype in DTYPES
    ]


def run(args: argparse.Namespace, stages: Sequence[Stage]) -> int:
    clock = Clock(args.seconds)
    device = pick_timed(args.device)
    file: Path = args.save / f"{device.type}-speed.json"
    if file.exists():
        raise SystemExit(f"--save: {file} exists, expected a folder without it")
    planned = plan(device)
    records = Records(file, machine(device))
    wrong: list[str] = []
    try:
        for stage in stages:
            _compile(stage, planned, device, clock)
            for one in planned:
                if one.dtype in stage.dtypes and not clock.up:
                    wrong += _measure(stage, one, records, device, clock)
        print("the time was up before the end" if clock.up else "all was measured")
    except KeyboardInterrupt:
        print("ended from outside before the end")
    print(markdown(records.suite))
    for message in wrong:
        print(f"wrong: {message}")
    return 1 if wrong or not records.suite.records else 0


def _compile(stage: Stage, planned: Sequence[Planned], device: torch.device, clock: Clock) -> None:
    if device.type != "cuda" or clock.up:
        return
    tasks = [one.task for one in planned]
    if stage is OURS_AND_EAGER:
        clock.say("compiling ours")
        ahead.warm_ours(tasks, device, workers(), clock.left / 3)
    elif stage.name == "compiled":
        clock.say(f"compiling rivals: {', '.join(stage.losses)}")
        fit = torch.cuda.get_device_properties(device).total_memory // (GIGABYTES << 30)
        ahead.compile_all(tasks, device, max(1, min(workers(), fit)), clock.left / 2, stage.losses)


def _measure(stage: Stage, one: Planned, records: "Records", device: torch.device, clock: Clock) -> list[str]:
    """A stage of one size; what was wrong, of which no speed is reported."""
    clock.say(f"{stage.name}: {one}")
    case = example(*one.task, device)
    names = (paths(device)[0], "eager") if stage is OURS_AND_EAGER else (stage.name,)
    torch.compiler.reset()  # what other runs compiled counts against a limit, and is tried first
    rows: dict[Contestant, Row] = {}
    wrong = []
    for loss in stage.losses:
        if clock.up or (stage is not OURS_AND_EAGER and not records.holds(one, loss)):
            continue
        try:
            rows |= checked(loss, case, names)
        except ValueError as error:
            wrong.append(f"{one}: {error}")
    clock.say(f"    checked {len(rows)}")
    records.add(one, case, priced(rows, case, BUDGET, stage.turns))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return wrong


class Records:
    """Written anew with every stage of a size."""

    def __init__(self, file: Path, machine: Machine) -> None:
        self.file = file
        self.machine = machine
        self.rows: dict[Planned, tuple[Row, ...]] = {}
        self.records: dict[Planned, Record] = {}

    @property
    def suite(self) -> Suite:
        return Suite(tuple(self.records.values()))

    def holds(self, one: Planned, loss: str) -> bool:
        """Ours has passed there."""
        return one in self.records and self.records[one].cost(loss, OURS) is not None

    def add(self, one: Planned, case: Case, rows: tuple[Row, ...]) -> None:
        if not rows:
            return
        old = self.records.get(one) or Record(
            one.job, one.name, one.shape, one.source, one.dtype, case.floor_bytes, self.machine, ()
        )
        order = {name: i for i, name in enumerate((*OURS, "eager", *RIVALS))}
        kept = sorted((*old.rows, *rows), key=lambda row: (LOSSES.index(row.loss), order[row.contestant]))
        self.records[one] = replace(old, rows=tuple(kept))
        rewrite(self.file, self.suite)


if __name__ == "__main__":
    sys.exit(main())
