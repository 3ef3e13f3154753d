"""Room ``training``: the same network is trained with one loss after the other, and compared: ``train``.

Data sets, drawn scenes and networks are here too.
Uses ``speed``, for what a loss costs in a step beside its eager formula.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from ..device import pick
from ..places import refuse_unusable
from . import checkpoint, parallel, report
from .arguments import DEFAULTS, add_arguments, complete, defaults, load_modules
from .comparison import compare, rehearse
from .datasets import load
from .datasets.choose import chosen
from .log import write_losses
from .outcome import Outcome
from .picture import draw


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "train",
        help="train with one loss after the other, and compare; cross-entropy and PAT unless told otherwise",
        epilog=defaults(),
        argument_default=argparse.SUPPRESS,  # --resume has to know which were given
    )
    add_arguments(parser)
    parser.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="go on with that interrupted run; the only option"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(args).items() if name != "run"}
    resumed: Path | None = given.pop("resume", None)
    saved = _saved(resumed, given) if resumed else {}
    train(argparse.Namespace(**DEFAULTS | saved["arguments"]) if saved else complete(given), resumed, saved)


def train(args: argparse.Namespace, folder: Path | None, saved: dict[str, Any], quiet: bool = False) -> list[Outcome]:
    """folder: where the run's files go; None makes a new one. saved: the checkpoint there, or nothing."""
    if args.batch % parallel.size():
        raise ValueError(
            f"--batch: got {args.batch}, expected a multiple of {parallel.size()}, the number of processes"
        )
    device = pick(parallel.own_device(args.device))
    if device.type == "meta":
        raise ValueError("--device: got 'meta', expected a device that computes")
    load_modules(args.imports)
    refuse_unusable("--out", Path(args.out))
    root = Path(args.root) if args.root else None
    meaning = {name: getattr(args, name) for name in ("classes", "labels_from", "ignore")}
    rehearse(args, len(chosen(args.data, root, **meaning).classes.names))
    data = load(
        args.data, root, args.size, args.seed, **meaning, kept=Path(args.out), quiet=quiet,
        say=_lines(Console(quiet=quiet or parallel.rank() > 0)),
        # Even of many runs side by side, each with a message: what is wrong with the data is seldom seen in a table.
        warn=_lines(Console(quiet=parallel.rank() > 0, stderr=True), "warning: "),
    )  # fmt: skip
    if saved and saved["data"] != data.summary():
        raise ValueError(
            f"{folder}/{checkpoint.NAME}: found a training on other data: images and pixels of each class were "
            f"{saved['data']}, those of {args.data} are now {data.summary()}; was the data set changed?"
        )
    if parallel.rank() > 0:
        folder = None  # the other processes neither write nor print
    elif folder is None:
        folder = report.new_folder(Path(args.out), args.data)
    console = Console(quiet=quiet or folder is None)
    console.print(report.describe(data, args, device))

    with parallel.joined(device):
        outcomes = compare(data, args, device, folder, saved, console)

    if folder is not None:
        console.print(report.table(data, outcomes))
        picture = folder / "predictions.png"
        draw(picture, data, {outcome.name: outcome.predictions for outcome in outcomes})
        console.print(f"picture: {picture}", soft_wrap=True)
        write_losses(folder / "losses.csv", {outcome.name: outcome.training_losses for outcome in outcomes})
        results = folder / "results.json"
        report.write(results, data, outcomes, args, device)
        console.print(f"figures: {results}, losses.csv, log.csv", soft_wrap=True)
    return outcomes


def _lines(console: Console, before: str = "") -> Callable[[str], None]:
    """Prints lines as they are."""
    return lambda line: console.print(before + line, soft_wrap=True, markup=False, highlight=False)


def _saved(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"--resume: got {options} too, expected no other option: a run keeps those that it began with")
    if folder.is_file():
        raise ValueError(f"--resume: got the file {folder}, expected the folder of a run")
    return checkpoint.read(folder)
