"""``host``: what a call costs the processor that starts it, beside a bare ``autograd.Function`` and
``F.cross_entropy`` in the same run. Without a GPU a stand-in: see ``standin``."""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ..captions import system
from ..device import Machine, add_device, pick_timed
from ..markdown import table
from ..storage import add_save, read, refuse_taken, write
from .ours import NAMES, SUMS, ours
from .timing import machine

if TYPE_CHECKING:
    from pat_triton.backends.triton.launch import Launch

IMAGES, CLASSES = 2, 19
# On a CPU the tensors are small, because ``F.cross_entropy`` there computes.
SIDES = {"cuda": 128, "cpu": 16}
RATIO = 4
# What torch.compile is told; "captured" needs a GPU, whose graphs are replayed.
MODES = {"eager": None, "compiled": None, "captured": "reduce-overhead"}
TURNS, CALLS = 21, 50


@dataclass(frozen=True)
class HostRow:
    """counts: "given" or of the "batch". kind: "dense" or "resized". mode: of ``MODES``. aten: outermost
    operators of a call, forward and backward; launches: of kernels of ours, or, compiled, all that a GPU ran.
    Microseconds of the host; bare and cross_entropy: forward and backward of the bare Function and of
    ``F.cross_entropy`` on dense logits, compiled in compiled rows."""

    loss: str
    counts: str
    kind: str
    mode: str
    aten: int
    launches: int
    forward_us: float
    backward_us: float
    both_us: float
    bare_us: float
    cross_entropy_us: float


@dataclass(frozen=True)
class HostRecord:
    """stands_in: for a GPU's host, CPU tensors with launches of nothing."""

    machine: Machine
    stands_in: bool
    rows: tuple[HostRow, ...]


class Bare(torch.autograd.Function):
    """What any loss with a gradient of its own does at least."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        gradient = torch.empty_like(logits)
        ctx.save_for_backward(gradient)
        return logits.new_empty(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient, None


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("host", help="what a call costs its host, beside a bare autograd.Function")
    add_device(parser)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=tuple(MODES)[:2])
    parser.add_argument("--losses", nargs="+", choices=NAMES, default=NAMES, metavar="LOSS")
    add_save(parser)
    parser.set_defaults(run=host)


def host(args: argparse.Namespace) -> None:
    refuse_taken(args.save)
    if not find_spec("triton"):
        raise ValueError("host needs the package triton, which is not installed")
    device = pick_timed(args.device)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # what is measured has one
    try:
        # Another cache may hold what an earlier checkout was compiled to.
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=folder):
            record = measure(device, args.losses, args.modes)
    finally:
        torch.set_num_threads(before)
    print(show(record))
    if args.save is not None:
        write(args.save, record)


def measure(device: torch.device, losses: Any, modes: Any) -> HostRecord:
    from . import standin  # which needs triton

    stands_in = device.type == "cpu"
    rows = []
    with standin.gpu() if stands_in else contextlib.nullcontext():
        for mode in modes:
            for loss in losses:
                for counts in ("given", "batch"):
                    for kind in ("dense", "resized"):
                        rows.append(_row(loss, counts, kind, mode, device))
    return HostRecord(machine(device), stands_in, tuple(rows))


def _row(loss: str, counts: str, kind: str, mode: str, device: torch.device) -> HostRow:
    side = SIDES[device.type]
    target = torch.randint(0, CLASSES, (IMAGES, side, side), device=device)
    dense, small = (
        torch.randn(IMAGES, CLASSES, n, n, device=device, requires_grad=True) for n in (side, side // RATIO)
    )
    given = {"class_counts": range(1000, 1000 + CLASSES)} if counts == "given" else {}
    mine: Callable[..., Tensor] = ours(loss, **given, backend="triton").to(device)
    theirs: Callable[..., Tensor] = F.cross_entropy
    if mode != "eager":
        torch.compiler.reset()
        mine, theirs = (torch.compile(f, fullgraph=True, dynamic=False, mode=MODES[mode]) for f in (mine, theirs))
    logits = dense if kind == "dense" else small
    steps: dict[str, Callable[[], object]] = {
        "forward": partial(mine, logits, target),
        "both": partial(step, mine, logits, target),
        "bare": partial(step, Bare.apply, dense, target),
        "cross_entropy": partial(step, theirs, dense, target),
    }
    taken = microseconds(steps, device)
    aten, launches = counted(steps["both"], device)
    return HostRow(
        loss, counts, kind, mode, aten, launches, taken["forward"], taken["both"] - taken["forward"], taken["both"],
        taken["bare"], taken["cross_entropy"],
    )  # fmt: skip


def step(loss: Callable[..., Tensor], logits: Tensor, target: Tensor) -> None:
    logits.grad = None
    loss(logits, target).backward()


def microseconds(steps: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Of a call of each: the median over turns, in which all have theirs, of the mean of some calls."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for call in steps.values():
        for _ in range(CALLS):
            call()
    for _ in range(TURNS):
        for name, call in steps.items():
            _wait(device)
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            taken[name].append((time.perf_counter() - start) / CALLS * 1e6)
    _wait(device)
    return {name: median(t) for name, t in taken.items()}


def _wait(device: torch.device) -> None:
    """For what the GPU still has to do, so that no call waits for room in its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def counted(call: Callable[[], object], device: torch.device) -> tuple[int, int]:
    """Outermost aten operators and launches of a call."""
    with _launches() as started, profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        call()
        _wait(device)
    aten = 0
    for event in profiler.events():
        parent = event.cpu_parent
        aten += event.name.startswith("aten::") and not (parent and parent.name.startswith("aten::"))
    return aten, len(started)


@contextlib.contextmanager
def _launches() -> Iterator[list["Launch"]]:
    from pat_triton.backends.triton.launch import Launch

    started: list[Launch] = []
    launch = Launch.__call__

    def noted(self: Launch, *arguments: Any) -> None:
        started.append(self)
        launch(self, *arguments)

    with mock.patch.object(Launch, "__call__", noted):
        yield started


def show(record: HostRecord) -> str:
    said = system(record.machine)
    if record.stands_in:
        said += "; no GPU: CPU tensors stand for a GPU's, and a compiled kernel's own launch is nothing"
    head = (
        "loss", "counts", "logits", "", "aten", "launches", "forward", "backward", "both", "of bare",
        "of cross-entropy",
    )  # fmt: skip
    rows = (
        (
            r.loss, r.counts, r.kind, r.mode, str(r.aten), str(r.launches),
            f"{r.forward_us:.1f}", f"{r.backward_us:.1f}", f"{r.both_us:.1f}",
            f"{r.both_us / r.bare_us:.2f}x", f"{r.both_us / r.cross_entropy_us:.2f}x",
        )
        for r in record.rows
    )  # fmt: skip
    return f"{said}\nMicroseconds of the host, forward and backward of a small batch:\n\n{table(head, rows)}"


def markdown(file: Path) -> str:
    """Of a saved record a line a mode, and one of its sums, from the least to the most of its rows."""
    record = read(file, HostRecord)
    kinds: dict[str, list[HostRow]] = {}
    for row in record.rows:
        kinds.setdefault(f"{row.mode}, {row.loss}" if row.loss in SUMS else row.mode, []).append(row)
    rows = []
    for kind, found in kinds.items():
        times = ((row.both_us, row.bare_us, row.cross_entropy_us) for row in found)
        shares = ((row.both_us / row.bare_us, row.both_us / row.cross_entropy_us) for row in found)
        rows.append(
            [
                kind,
                *(f"{min(column):.0f} to {max(column):.0f}" for column in zip(*times, strict=True)),
                *(f"{min(column):.2f} to {max(column):.2f}" for column in zip(*shares, strict=True)),
            ]
        )
    head = ("", "ours, us", "bare, us", "F.cross_entropy, us", "ours / bare", "ours / F.cross_entropy")
    stand_in = "; CPU tensors stand for a GPU's, and launching a compiled kernel takes nothing" * record.stands_in
    return f"{system(record.machine)}{stand_in}:\n\n{table(head, rows)}"
