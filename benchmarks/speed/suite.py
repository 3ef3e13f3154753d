"""``all``: the runs that the README and its pictures show, and how time grows with pixels and with classes."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ..device import pick_timed
from ..places import refuse_unusable
from ..storage import write
from . import ahead, plots
from .losses import add_options
from .record import Growth, Record
from .shapes import Shape, quarter, resolve
from .terminal import console, show, show_growth
from .timing import machine
from .trial import run

BUDGET = 0.5  # seconds of timing for each contestant; the fewest calls may take longer
# Seconds after which nothing more is compiled: a slow compiler costs rows, not the run.
COMPILING = {"cpu": 400.0, "cuda": 150.0}
WORKERS = 8  # that compile ahead; each holds the tensors of a run


@dataclass(frozen=True)
class Planned:
    job: str
    name: str
    dtype: str = "fp32"

    def shapes(self, device: torch.device) -> tuple[Shape, tuple[int, int]]:
        """(B, L, H, W) of the labels, (h, w) of the logits."""
        _, shape = resolve([self.name], device)
        return shape, quarter(shape) if self.job == "upsample" else shape[2:]

    def rivals(self, asked: list[str]) -> list[str]:
        """In 16 bits without what research released: drawn on the CPU, it takes most of a run, and the same time."""
        return [name for name in asked if self.dtype == "fp32" or name != "released"]


CITYSCAPES = (Planned("losses", "cityscapes"), Planned("upsample", "cityscapes"))
CITYSCAPES_16 = tuple(replace(planned, dtype="bf16") for planned in CITYSCAPES)
OTHERS = (Planned("losses", "small"), Planned("losses", "ade20k"), Planned("upsample", "ade20k"))
PLAN = {"cpu": (*CITYSCAPES, *OTHERS), "cuda": (*CITYSCAPES, *CITYSCAPES_16, *OTHERS)}

GROWING = ("CrossEntropyLoss", "PATLoss")
SIDES = (64, 128, 256, 512, 1024)
CLASSES = (5, 19, 40, 80, 150, 250)  # 255 is ignored


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("all", help="losses and upsample at several sizes, and how time grows with them")
    add_options(parser)
    parser.add_argument("--save", type=Path, metavar="DIR", help="also write a JSON and a picture for each run")
    parser.set_defaults(run=everything)


def everything(args: argparse.Namespace) -> None:
    """A wrong result costs its run the figures; the others are still made, and the errors come last."""
    device = pick_timed(args.device)
    plan = {f"{device.type}-{p.job}-{p.name}-{p.dtype}": p for p in PLAN[device.type]}
    curve = f"{device.type}-growth"
    if args.save is not None:
        _refuse_taken(args.save, [*plan, curve, *(f"{curve}-{over}" for over in growing(device))])
    until = time.monotonic() + COMPILING[device.type]
    wrong: list[str] = []
    out = console()
    with out.status("compiling") as status:
        workers = min(WORKERS, torch.get_num_threads())
        if "compiled" in args.rivals and workers > 1:
            tasks = [(*planned.shapes(device), planned.dtype) for planned in plan.values()]
            ahead.compile_all(tasks, device, workers, COMPILING[device.type] / 2)
        measure = partial(run, machine=machine(device), device=device, budget=BUDGET, say=status.update)
        for name, planned in plan.items():
            with _noting(wrong, name):
                rivals = planned.rivals(args.rivals)
                sizes = planned.shapes(device)
                record = measure(planned.job, planned.name, *sizes, planned.dtype, rivals=rivals, compile_until=until)
                out.print(show(record))
                if args.save is not None:
                    write(args.save / f"{name}.json", record)
                    plots.draw_losses(args.save / f"{name}.svg", record)
        with _noting(wrong, curve):
            curves = [_grown(over, shapes, measure) for over, shapes in growing(device).items()]
            out.print(*map(show_growth, curves))
            if args.save is not None:
                for growth in curves:
                    write(args.save / f"{curve}-{growth.over}.json", growth)
                plots.draw_growth(args.save / f"{curve}.svg", curves)
    if wrong:
        raise ValueError("; ".join(wrong))


def _grown(over: str, shapes: Sequence[Shape], measure: Callable[..., Record]) -> Growth:
    return Growth(over, tuple(measure("losses", over, s, s[2:], "fp32", losses=GROWING, rivals=()) for s in shapes))


@contextmanager
def _noting(wrong: list[str], name: str) -> Iterator[None]:
    """A ValueError inside becomes a line of ``wrong``."""
    try:
        yield
    except ValueError as error:
        wrong.append(f"{name}: {error}")


def growing(device: torch.device) -> dict[str, list[Shape]]:
    """What time is plotted over, and the shapes of its points."""
    images, (few, side) = (2, (2, 128)) if device.type == "cpu" else (8, (4, 256))
    return {
        "pixels": [(images, 19, side, side) for side in SIDES],
        "classes": [(few, classes, side, side) for classes in CLASSES],
    }


def _refuse_taken(folder: Path, names: list[str]) -> None:
    refuse_unusable("--save", folder)
    taken = [file for name in names for file in (f"{name}.json", f"{name}.svg") if (folder / file).exists()]
    if taken:
        raise ValueError(f"--save: {folder} holds {', '.join(taken)} already, expected a folder without them")
