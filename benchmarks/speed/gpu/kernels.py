"""What each kernel of a call takes, and the call as a whole, at the sizes of the README.

Labels of a byte, uniform, and logits of a normal distribution. Every core compiles; then this process times alone.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import pat_triton

from ...device import add_device, pick_timed
from ...places import ROOT
from ...profiled import Call, Kernels, Launch
from ...storage import rewrite
from .. import ahead
from ..case import DTYPES
from ..ours import SUMS, ours
from ..shapes import Shape
from ..timing import machine, on_gpu
from .clock import Clock, part_parser, workers
from .tiles import microseconds

SIZES: tuple[tuple[Shape, tuple[int, int]], ...] = (
    ((8, 19, 1024, 2048), (1024, 2048)),
    ((8, 19, 1024, 2048), (256, 512)),
    ((4, 150, 512, 512), (512, 512)),
    ((16, 150, 512, 512), (128, 128)),
    ((2, 19, 128, 128), (128, 128)),
)
LOSSES = ("CrossEntropyLoss", "PATLoss", "BalancedSoftmaxLoss", "LDAMLoss", "BLVLoss", *SUMS)
STATISTICS, PREDICTION = "PATLoss, statistics", "predict"
NAMES = (*LOSSES, STATISTICS, PREDICTION)
FEW = 2  # images, to compile a kernel for any number
PROFILED = 5  # calls


@dataclass(frozen=True)
class Planned:
    name: str
    shape: Shape
    source: tuple[int, int]
    dtype: str

    def step(self, device: torch.device, images: int) -> tuple[Callable[[], object], int]:
        """The call, and the bytes that it must move at least."""
        _, L, H, W = self.shape
        target = torch.randint(0, L, (images, H, W), device=device, dtype=torch.uint8)
        logits = torch.randn(images, L, *self.source, device=device).to(DTYPES[self.dtype])
        if self.name == PREDICTION:
            return partial(pat_triton.predict, logits, (H, W)), logits.nbytes + target.nbytes
        loss: Callable[[Tensor, Tensor], Tensor] = with_statistics() if self.name == STATISTICS else ours(self.name)
        return partial(loss_and_gradient, loss, logits.requires_grad_(), target), 2 * logits.nbytes + target.nbytes


def with_statistics() -> Callable[[Tensor, Tensor], Tensor]:
    criterion = pat_triton.PATLoss()
    return lambda logits, target: criterion(logits, target, return_stats=True)[0]


def loss_and_gradient(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> None:
    logits.grad = None
    loss(logits, target).backward()


PLANNED = tuple(Planned(name, *size, dtype) for size in SIZES for dtype in ("bf16", "fp32") for name in NAMES)


def main() -> int:
    parser = part_parser("speed.gpu.kernels", __doc__)
    add_device(parser)
    args = parser.parse_args()
    if args.dry_run:
        print(*PLANNED, sep="\n")
        return 0
    device = pick_timed(args.device)
    file: Path = args.save / f"{device.type}-kernels.json"
    if file.exists():
        raise SystemExit(f"--save: {file} exists, expected a folder without it")
    clock = Clock(args.seconds)
    here, measured, calls = machine(device), commit(), []
    if device.type == "cuda":
        clock.say("compiling")
        ahead.side_by_side(warm, [(planned, str(device)) for planned in PLANNED], workers(), clock.left / 2)
    for planned in PLANNED:
        if clock.up:
            break
        step, floor = planned.step(device, planned.shape[0])
        queued = round(microseconds(step, device), 2)
        floor_us = round(floor / here.bandwidth * 1e6, 2)
        calls.append(
            Call(planned.name, planned.shape, planned.source, planned.dtype, floor_us, queued, launches(step, device))
        )
        rewrite(file, Kernels(here, measured, tuple(calls)))
        clock.say(f"{planned}: {queued:.0f}; {calls[-1].launches}")
    return 0


def warm(planned: Planned, device: str) -> None:
    """In a process of its own, for the cache on disk."""
    step, _ = planned.step(torch.device(device), FEW)
    step()


def launches(step: Callable[[], object], device: torch.device) -> tuple[Launch, ...]:
    """Kernels of a call as the profiler sees them; none on a CPU."""
    if device.type == "cpu":
        return ()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiler:
        for _ in range(PROFILED):
            step()
        torch.cuda.synchronize(device)
    taken: dict[str, list[float]] = {}
    for event in on_gpu(profiler):
        taken.setdefault(event.name[:80], []).append(event.device_time)
    return tuple(
        Launch(name, len(times) // PROFILED or 1, round(sum(times) / PROFILED, 2)) for name, times in taken.items()
    )


def commit() -> str:
    """As COMMIT says, where the checkout came without its history."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    return os.environ.get("COMMIT") or subprocess.check_output(git, cwd=ROOT, text=True).strip()


if __name__ == "__main__":
    sys.exit(main())
