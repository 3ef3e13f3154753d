"""Train the same network with cross-entropy and with PAT, and compare: ``train``."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

import pat_triton

from . import eager, report
from .cost import Loss, costs, disagreement
from .data import Data, load
from .evaluate import evaluate, label
from .loop import fit
from .machine import pick
from .model import LEVELS, PyramidNet, normalise
from .picture import chosen, draw
from .report import Outcome


@dataclass(frozen=True)
class Budget:
    """What a data set is trained with unless told otherwise; size is (height, width)."""

    size: tuple[int, int]
    steps: int
    batch: int


BUDGETS = {
    "scenes": Budget((256, 512), 500, 2),
    "camvid": Budget((240, 320), 1000, 4),
    "cityscapes": Budget((256, 512), 4000, 8),
}

CONTEST: tuple[tuple[str, Loss, Loss], ...] = (
    ("cross-entropy", pat_triton.CrossEntropyLoss(), eager.cross_entropy),
    ("PAT", pat_triton.PATLoss(), eager.pat),
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    defaults = "; ".join(f"{name} {b.size[0]} {b.size[1]}, {b.steps}, {b.batch}" for name, b in BUDGETS.items())
    parser = subparsers.add_parser(
        "train",
        help="train with cross-entropy, then with PAT, and compare",
        epilog=f"Size, steps and batch unless given: {defaults}.",
    )
    parser.add_argument("--data", choices=BUDGETS, default="scenes", help="scenes are drawn, the others read")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of camvid or cityscapes")
    parser.add_argument("--size", type=_positive, nargs=2, metavar=("H", "W"), help="working size in pixels")
    parser.add_argument("--steps", type=_positive, metavar="N", help="training steps for each loss")
    parser.add_argument("--batch", type=_positive, metavar="N", help="images in a step")
    parser.add_argument("--width", type=_positive, default=16, metavar="N", help="channels at half the size")
    parser.add_argument("--lr", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--seed", type=_natural, default=0, help="of scenes, weights and batches")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda, ...")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="parent of the run's folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    budget = BUDGETS[args.data]
    args.size = tuple(args.size or budget.size)
    args.steps, args.batch = args.steps or budget.steps, args.batch or budget.batch
    if min(args.size) < 2**LEVELS:
        raise ValueError(f"--size: got {args.size[0]} {args.size[1]}, expected at least {2**LEVELS} each")
    device = pick(args.device)
    console = Console()
    data = load(args.data, args.root, args.size, args.seed)
    folder = report.new_folder(args.out, args.data)
    console.print(report.describe(data, args, device))

    outcomes = [_train(*contestant, data, args, device, console) for contestant in CONTEST]

    console.print(report.table(data, outcomes))
    picture = folder / "predictions.png"
    draw(picture, data, {outcome.name: outcome.predictions for outcome in outcomes})
    console.print(f"picture: {picture}", soft_wrap=True)
    results = folder / "results.json"
    report.write(results, data, outcomes, args, device)
    console.print(f"figures: {results}", soft_wrap=True)


def _train(
    name: str,
    ours: Loss,
    rival: Loss,
    data: Data,
    args: argparse.Namespace,
    device: torch.device,
    console: Console,
) -> Outcome:
    torch.manual_seed(args.seed)
    model = PyramidNet(len(data.classes.names), args.width).to(device)
    start = time.perf_counter()
    fit(
        model, ours, data.train, batch=args.batch, steps=args.steps, lr=args.lr,
        seed=args.seed, device=device, name=name, console=console,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    logits, target = _example(model, data, args, device)
    measured = costs({"ours": ours, "eager": rival}, logits, target)
    return Outcome(
        name=name,
        scores=evaluate(model, data.val, data.tail, device),
        ours=measured["ours"],
        eager=measured["eager"],
        gradient_difference=disagreement(ours, rival, logits, target),
        training_seconds=seconds,
        predictions=label(model, data.val.images[chosen(data)], device),
    )


def _example(model: PyramidNet, data: Data, args: argparse.Namespace, device: torch.device) -> tuple[Tensor, Tensor]:
    """The logits of a training batch, and its labels as int64, which eager torch needs."""
    images, labels = next(data.train.batches(args.batch, 1, args.seed))
    with torch.no_grad():
        logits = model(normalise(images.to(device)))
    return logits.requires_grad_(), labels.to(device, torch.int64)


def _positive(text: str) -> int:
    return _natural(text, 1)


def _natural(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from {least}")
    return int(text)
