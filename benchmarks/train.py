"""Train the same network with cross-entropy and with PAT, and compare: ``train``."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from . import checkpoint, parallel, report
from .comparison import compare
from .data import load
from .machine import pick
from .model import LEVELS
from .picture import draw


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
DEFAULTS: dict[str, Any] = {
    "data": "scenes", "root": None, "width": 16, "lr": 4e-3, "seed": 0, "device": "auto", "out": "runs",
    "checkpoint": 100,
}  # fmt: skip


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    budgets = "; ".join(f"{name} {b.size[0]} {b.size[1]}, {b.steps}, {b.batch}" for name, b in BUDGETS.items())
    others = ", ".join(f"{name} {value}" for name, value in DEFAULTS.items() if value is not None)
    parser = subparsers.add_parser(
        "train",
        help="train with cross-entropy, then with PAT, and compare",
        epilog=f"Size, steps and batch unless given: {budgets}. The others: {others}.",
        argument_default=argparse.SUPPRESS,  # --resume has to know which were given
    )
    parser.add_argument("--data", choices=BUDGETS, help="scenes are drawn, the others read")
    parser.add_argument("--root", metavar="DIR", help="folder of camvid or cityscapes")
    parser.add_argument("--size", type=_positive, nargs=2, metavar=("H", "W"), help="working size in pixels")
    parser.add_argument("--steps", type=_positive, metavar="N", help="training steps for each loss")
    parser.add_argument("--batch", type=_positive, metavar="N", help="images in a step, over all processes")
    parser.add_argument("--width", type=_positive, metavar="N", help="channels at half the size")
    parser.add_argument("--lr", type=_rate, help="highest learning rate")
    parser.add_argument("--seed", type=_natural, help="of scenes, weights and batches")
    parser.add_argument("--device", help="auto, cpu, cuda, ...")
    parser.add_argument("--out", metavar="DIR", help="parent of the run's folder")
    parser.add_argument("--checkpoint", type=_positive, metavar="N", help="steps between checkpoints")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="alone: go on with the interrupted run there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(args).items() if name != "run"}
    resumed: Path | None = given.pop("resume", None)
    saved = _saved(resumed, given) if resumed else {}
    args = argparse.Namespace(**(saved["arguments"] if saved else _complete(given)))
    if args.batch % parallel.size():
        raise ValueError(f"--batch: got {args.batch}, expected a multiple of {parallel.size()}, the processes")
    device = pick(parallel.own_device(args.device))
    data = load(args.data, Path(args.root) if args.root else None, args.size, args.seed)
    classes = len(data.classes.names)
    if resumed and saved["classes"] != classes:
        raise ValueError(
            f"{resumed / checkpoint.NAME}: found a network of {saved['classes']} classes, expected {classes}, "
            f"those of {args.data}"
        )
    folder = None  # the other processes neither write nor print
    if parallel.rank() == 0:
        folder = resumed or report.new_folder(Path(args.out), args.data)
    console = Console(quiet=folder is None)
    console.print(report.describe(data, args, device))

    with parallel.joined(device):
        outcomes = compare(data, args, device, folder, saved, console)

    if folder is None:
        return
    console.print(report.table(data, outcomes))
    picture = folder / "predictions.png"
    draw(picture, data, {outcome.name: outcome.predictions for outcome in outcomes})
    console.print(f"picture: {picture}", soft_wrap=True)
    results = folder / "results.json"
    report.write(results, data, outcomes, args, device)
    report.write_losses(folder / "losses.csv", outcomes)
    console.print(f"figures: {results}, losses.csv", soft_wrap=True)


def _complete(given: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of what was not given."""
    budget = BUDGETS[given.get("data", DEFAULTS["data"])]
    arguments = DEFAULTS | {"size": budget.size, "steps": budget.steps, "batch": budget.batch} | given
    arguments["size"] = tuple(arguments["size"])
    if min(arguments["size"]) < 2**LEVELS:
        got = " ".join(map(str, arguments["size"]))
        raise ValueError(f"--size: got {got}, expected at least {2**LEVELS} each")
    return arguments


def _saved(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    if given:
        options = ", ".join(f"--{name}" for name in given)
        raise ValueError(f"--resume: got {options} too, expected it alone: a run keeps the options it began with")
    if folder.is_file():
        raise ValueError(f"--resume: got the file {folder}, expected its folder")
    return checkpoint.read(folder)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return rate


def _positive(text: str) -> int:
    return _natural(text, 1)


def _natural(text: str, least: int = 0) -> int:
    if not text.isdecimal() or not least <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from {least}")
    return int(text)
