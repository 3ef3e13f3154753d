"""Tables 3, 5 and 6: every loss and temperature trained on one data set, several times: ``paper runs``.

A run is a file of figures, made once: what is there already is not trained again, and a run that was interrupted
goes on from its checkpoint.
"""

import argparse
import fcntl
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from ..options import natural, positive, rate
from ..places import refuse_unusable
from ..training import checkpoint, parallel, train
from ..training.arguments import add_arguments, complete, defaults, load_modules
from ..training.expression import parse
from . import class_plot
from .run_files import read, read_all, same
from .scores import markdown

# With the paper's parameters, where ours have other defaults.
LOSSES = (
    "CrossEntropyLoss", "FocalLoss(gamma=2)", "ClassBalancedLoss", "ClassBalancedFocalLoss(gamma=2)",
    "BalancedSoftmaxLoss", "LDAMLoss(max_margin=0.5, scale=20)", "BLVLoss(sigma=0.5)", "PATLoss(temperature=20)",
    *(f"PATLoss(temperature={t})" for t in (5, 10, 50)),
)  # fmt: skip
SWEPT = ("CrossEntropyLoss", "BLVLoss(sigma=0.5)", "PATLoss(temperature=20)")


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
    own.add_argument("--sweep", nargs="+", default=None, metavar="LOSS",
                     help=f"losses with a rate of their own, by default {', '.join(SWEPT)}, if there are such in "
                     "--loss; the others have that of the same class, or of the first")  # fmt: skip
    own.add_argument("--sweep-steps", type=positive, default=None, metavar="N", help="half of --steps")
    own.add_argument("--jobs", type=positive, default=1, metavar="N", help="runs at a time, on as many parts of a CPU")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(args).items() if name != "run"}
    own = {name: given.pop(name) for name in ("save", "seeds", "rates", "sweep", "sweep_steps", "jobs")}
    load_modules(given.get("imports"))
    losses = _expressions(given.pop("loss", LOSSES))
    save: Path = own["save"]
    _refuse(given, own)
    execute = partial(_execute, save=save, jobs=own["jobs"])

    rates: dict[str, float] = {}
    if own["rates"]:
        swept = _expressions(own["sweep"] or _swept(losses))
        steps = own["sweep_steps"] or max(1, complete(given).steps // 2)
        sweep = {
            (loss, lr): planned(given | {"lr": lr, "steps": steps}, loss, own["seeds"][0], "sweep-")
            for loss in swept
            for lr in own["rates"]
        }
        execute(list(sweep.values()))
        rates = {loss: _best(loss, [(lr, sweep[loss, lr]) for lr in own["rates"]], save) for loss in swept}
    execute([
        planned(given | ({"lr": _rate(rates, loss)} if rates else {}), loss, seed)
        for seed in own["seeds"]
        for loss in losses
    ])  # fmt: skip

    runs = read_all(save)
    text = markdown(runs)
    (save / "table.md").write_text(text)
    class_plot.draw_classes(save / "classes.svg", runs)
    Console().print(text, soft_wrap=True)


def _refuse(given: dict[str, Any], own: dict[str, Any]) -> None:
    """ValueError on what cannot be asked for together."""
    if parallel.launched():
        raise ValueError("paper runs: got several processes by torchrun, expected one; --jobs makes runs side by side")
    if "seed" in given or "set" in given:
        raise ValueError("paper runs: got --seed or --set, expected --seeds, and options written as PATLoss(epsilon=1)")
    if own["rates"] and "lr" in given:
        raise ValueError("paper runs: got --lr and --rates, expected one of them")
    if own["sweep"] and not own["rates"]:
        raise ValueError("paper runs: got --sweep without --rates, of which it finds the best")
    for option in ("seeds", "rates"):
        if len(set(own[option])) < len(own[option]):
            raise ValueError(f"--{option}: got {' '.join(map(str, own[option]))}, expected each once")
    out = Path(complete(given).out)
    refuse_unusable("--out", out)
    refuse_unusable("--save", own["save"])
    if own["save"].resolve() == out.resolve():
        raise ValueError(f"--save: got {out}, expected another folder than --out, which holds checkpoints")


def _expressions(texts: Sequence[str]) -> list[str]:
    made = [str(parse(text)) for text in texts]
    if len(set(made)) < len(made):
        raise ValueError(f"--loss: got {', '.join(made)}, expected each once")
    return made


def _swept(losses: Sequence[str]) -> list[str]:
    kinds = {loss.partition("(")[0] for loss in losses}
    return [loss for loss in SWEPT if loss.partition("(")[0] in kinds] or [losses[0]]


def _best(loss: str, plans: Sequence[tuple[float, Planned]], save: Path) -> float:
    """The learning rate with the highest mIoU on the validation images, the smallest of several; one that made the
    loss NaN is none."""
    found = [(read(save / f"{plan.name}.json").validated.miou, -lr) for lr, plan in plans]
    known = [pair for pair in found if not math.isnan(pair[0])]
    if not known:
        raise ValueError(f"--rates: {loss} came to NaN at all of them, expected a smaller one")
    lr = -max(known)[1]
    Console().print(f"learning rate of {loss}: {lr:g}")
    return lr


def _rate(rates: dict[str, float], loss: str) -> float:
    """Of the loss itself, of another of its class, or of the first."""
    kind = loss.partition("(")[0]
    alike = [lr for other, lr in rates.items() if other.partition("(")[0] == kind]
    return rates.get(loss) or (*alike, *rates.values())[0]


def planned(given: dict[str, Any], loss: str, seed: int, prefix: str = "") -> Planned:
    args = complete({"measure": False} | given | {"loss": (loss,), "seed": seed})
    name = "".join(c if c.isalnum() or c in "=.+-_" else "_" for c in loss.replace(" ", "").rstrip(")"))
    return Planned(f"{prefix}{name}-lr={args.lr:g}-seed={seed}", vars(args))


def _execute(plans: Sequence[Planned], save: Path, jobs: int) -> None:
    """Those that are not there yet; ValueError before the first, if others are there that do not belong with them."""
    save.mkdir(parents=True, exist_ok=True)
    swept = plans[0].name.startswith("sweep-")
    rates = {plan.arguments["loss"]: plan.arguments for plan in plans}
    for found in read_all(save):
        if found.swept == swept:
            file = save / f"{found.file}.json"
            same(found.arguments, plans[0].arguments, file, ("loss", "seed", "lr"))
            if not swept and (found.loss,) in rates:
                same(found.arguments, rates[(found.loss,)], file, ("loss", "seed"))
    waiting = [plan for plan in plans if not (save / f"{plan.name}.json").exists()]
    threads = max(1, torch.get_num_threads() // jobs)
    one = partial(train_one, save=save, threads=threads, quiet=jobs > 1)
    for name in track(_each(one, waiting, jobs), "runs", len(waiting), disable=jobs == 1):
        Console().print(f"made {name}")


def _each(function: Callable[[Planned], str], plans: Sequence[Planned], jobs: int) -> Iterator[str]:
    if jobs == 1:
        yield from map(function, plans)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(function, plan) for plan in plans]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # those that have not begun
            raise


def train_one(plan: Planned, save: Path, threads: int, quiet: bool) -> str:
    """Its name, when its file of figures is there."""
    torch.set_num_threads(threads)
    args = argparse.Namespace(**plan.arguments)
    folder = Path(args.out) / save.name / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        saved: dict[str, Any] = {}
        if (folder / checkpoint.NAME).is_file():
            saved = checkpoint.read(folder)
            same(saved["arguments"], plan.arguments, folder / checkpoint.NAME)
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
