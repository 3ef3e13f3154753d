"""Tables 3, 5 and 6: every loss and temperature trained on one data set, several times: ``paper runs``.

A run is a file of figures, made once: what is there already is not trained again, and a run that was interrupted
goes on from its checkpoint.
"""

import argparse
import fcntl
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from .. import parallel
from ..training import checkpoint, train
from ..training.arguments import add_arguments, complete, defaults, natural, positive, rate
from ..training.expression import parse
from . import figures
from .results import Run, read, read_all
from .tables import markdown

# With the paper's parameters, where ours have other defaults.
LOSSES = (
    "CrossEntropyLoss", "FocalLoss(gamma=2)", "ClassBalancedLoss", "ClassBalancedFocalLoss(gamma=2)",
    "BalancedSoftmaxLoss", "LDAMLoss(max_margin=0.5, scale=20)", "BLVLoss(sigma=0.5)", "PATLoss(temperature=20)",
    *(f"PATLoss(temperature={t})" for t in (5, 10, 50)),
)  # fmt: skip
SWEPT = ("CrossEntropyLoss", "BLVLoss(sigma=0.5)", "PATLoss(temperature=20)")
FREE = ("evaluate", "checkpoint", "measure", "device", "out", "root")  # may differ between runs that are compared


@dataclass(frozen=True)
class Planned:
    """arguments: of ``train``. name: of its folder below ``--out``, and of its file in ``--save``."""

    name: str
    arguments: dict[str, Any]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "runs",
        help="Tables 3, 5 and 6: losses and temperatures on a data set, several seeds",
        epilog=f"{defaults()} Losses: {', '.join(LOSSES)}.",
        argument_default=argparse.SUPPRESS,
    )
    add_arguments(parser)
    own = parser.add_argument_group("runs")
    own.add_argument("--save", type=Path, required=True, metavar="DIR", help="of the figures, a JSON file a run")
    own.add_argument("--seeds", type=natural, nargs="+", default=[0], metavar="N", help="a run each; default 0")
    own.add_argument("--rates", type=rate, nargs="+", default=[], metavar="LR",
                     help="learning rates, of which the best on the validation images is taken")  # fmt: skip
    own.add_argument("--sweep", nargs="+", default=SWEPT, metavar="LOSS",
                     help=f"losses with a rate of their own ({', '.join(SWEPT)}); the others have that of the same "
                     "class, or of the first")  # fmt: skip
    own.add_argument("--sweep-steps", type=positive, default=None, metavar="N", help="half of --steps")
    own.add_argument("--jobs", type=positive, default=1, metavar="N", help="runs at a time, on as many parts of a CPU")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(args).items() if name != "run"}
    own = {name: given.pop(name) for name in ("save", "seeds", "rates", "sweep", "sweep_steps", "jobs")}
    if parallel.launched():
        raise ValueError("paper runs: got several processes by torchrun, expected one; --jobs makes runs side by side")
    if "seed" in given or "set" in given:
        raise ValueError("paper runs: got --seed or --set, expected --seeds, and options written as PATLoss(epsilon=1)")
    losses = [str(parse(loss)) for loss in given.pop("loss", LOSSES)]
    rates = _rates(given, own)
    plans = [
        _planned(given | ({"lr": _rate(rates, loss)} if rates else {}), loss, seed)
        for seed in own["seeds"]
        for loss in losses
    ]
    _execute(plans, own["save"], own["jobs"])
    runs = read_all(own["save"])
    text = markdown(runs)
    (own["save"] / "table.md").write_text(text)
    picture = own["save"] / "classes.svg"
    picture.unlink(missing_ok=True)  # of fewer runs
    figures.draw_classes(picture, runs)
    Console().print(text, soft_wrap=True)


def _rates(given: dict[str, Any], own: dict[str, Any]) -> dict[str, float]:
    """Of each loss that is swept the learning rate with the highest mIoU on the validation images."""
    if not own["rates"]:
        return {}
    steps = own["sweep_steps"] or max(1, complete(given).steps // 2)
    plans = {
        (str(parse(loss)), lr): _planned(
            given | {"lr": lr, "steps": steps}, str(parse(loss)), own["seeds"][0], "sweep-"
        )
        for loss in own["sweep"]
        for lr in own["rates"]
    }
    _execute(list(plans.values()), own["save"], own["jobs"])
    best: dict[str, tuple[float, float]] = {}
    for (loss, lr), plan in plans.items():
        found = read(own["save"] / f"{plan.name}.json").validated.miou, lr
        best[loss] = max(best.get(loss, found), found)
    rates = {loss: lr for loss, (_, lr) in best.items()}
    for loss, lr in rates.items():
        Console().print(f"learning rate of {loss}: {lr:g}")
    return rates


def _rate(rates: dict[str, float], loss: str) -> float:
    """Of the loss itself, of another of its class, or of the first."""
    kind = loss.partition("(")[0]
    alike = [lr for other, lr in rates.items() if other.partition("(")[0] == kind]
    return rates.get(loss) or (*alike, *rates.values())[0]


def _planned(given: dict[str, Any], loss: str, seed: int, prefix: str = "") -> Planned:
    arguments = {"measure": False} | given | {"loss": (loss,), "seed": seed}
    args = complete(arguments)
    name = "".join(c if c.isalnum() or c in "=.+-_" else "_" for c in loss.replace(" ", "").rstrip(")"))
    return Planned(f"{prefix}{name}-lr={args.lr:g}-seed={seed}", vars(args))


def _execute(plans: Sequence[Planned], save: Path, jobs: int) -> None:
    """Those that are not there yet."""
    save.mkdir(parents=True, exist_ok=True)
    waiting = [plan for plan in plans if not _done(plan, save)]
    threads = max(1, torch.get_num_threads() // jobs)
    one = partial(_one, save=save, threads=threads, quiet=jobs > 1)
    for name in track(_each(one, waiting, jobs), "runs", len(waiting), disable=jobs == 1):
        Console().print(f"made {name}")


def _each(function: Callable[[Planned], str], plans: Sequence[Planned], jobs: int) -> Iterator[str]:
    if jobs == 1:
        yield from map(function, plans)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(function, plan) for plan in plans]):
            yield future.result()


def _one(plan: Planned, save: Path, threads: int, quiet: bool) -> str:
    torch.set_num_threads(threads)
    args = argparse.Namespace(**plan.arguments)
    folder = Path(args.out) / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        saved: dict[str, Any] = {}
        if (folder / checkpoint.NAME).is_file():
            saved = checkpoint.read(folder)
            _same(saved["arguments"], plan, folder / checkpoint.NAME)
        train(args, folder, saved, quiet=quiet)
        shutil.copyfile(folder / "results.json", save / f"{plan.name}.tmp")
        (save / f"{plan.name}.tmp").replace(save / f"{plan.name}.json")
    return plan.name


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """By this process until it ends, however it ends: one that was left behind may still be training there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ValueError(f"{folder}: another process is training there; wait for it, or end it") from error
    finally:
        os.close(descriptor)


def _done(plan: Planned, save: Path) -> bool:
    file = save / f"{plan.name}.json"
    if not file.exists():
        return False
    found: Run = read(file)
    _same(found.arguments, plan, file)
    return True


def _same(found: Mapping[str, Any], plan: Planned, file: Path) -> None:
    """ValueError where a run that is there was another one."""
    for name, value in plan.arguments.items():
        plain = list(value) if isinstance(value, tuple) else value
        there = found.get(name)
        there = list(there) if isinstance(there, tuple) else there
        if name not in FREE and there != plain:
            option = name.replace("_", "-")
            raise ValueError(
                f"{file}: found a run with --{option} {there}, expected {plain}; another --save keeps them apart"
            )
