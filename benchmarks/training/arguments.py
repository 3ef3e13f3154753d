"""What ``train`` can be told, and what it does unless told otherwise."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ..options import natural, positive, rate, share
from ..speed.contest import LOSSES
from . import networks
from .datasets import VOID
from .datasets.catalogue import SETS
from .expression import parse
from .loop import AUTOCAST, OPTIMIZERS
from .networks import NETWORKS
from .schedule import SCHEDULES

DEFAULTS: dict[str, Any] = {
    "data": "scenes", "root": None, "classes": None, "labels_from": None, "ignore": None,
    "crop": None, "scale": (1.0, 1.0),
    "model": "pyramid", "width": None, "encoder": "resnet34", "pretrained": False,
    "loss": ("CrossEntropyLoss", "PATLoss"), "set": (), "imports": None,
    "optimizer": "adam", "lr": 4e-3, "weight_decay": 0.0, "schedule": "cosine", "warmup": 0.1, "amp": "none",
    "seed": 0, "device": "auto", "out": "runs", "checkpoint": 100, "measure": True,
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All default to nothing, as --resume has to know which were given."""
    data = parser.add_argument_group("data")
    data.add_argument("--data", choices=SETS,
                      help="scenes are drawn, the others read; folder is any, ade20k any like it")  # fmt: skip
    data.add_argument("--root", metavar="DIR", help="folder of the data set")
    data.add_argument("--classes", type=positive, metavar="N", help="of a folder; of an ADE20K-style one, if not 150")
    data.add_argument("--labels-from", type=int, choices=(0, 1),
                      help="of a folder: the first class's label; 1: 0 is void, as in ade20k; otherwise 0")  # fmt: skip
    data.add_argument("--ignore", type=natural, nargs="+", metavar="N", help="of a folder: labels that are void; 255")
    data.add_argument("--size", type=positive, nargs=2, metavar=("H", "W"), help="working size in pixels")
    data.add_argument("--scale", type=rate, nargs=2, metavar=("MIN", "MAX"), help="random scale of training images")
    data.add_argument("--crop", type=positive, nargs=2, metavar=("H", "W"), help="random crop; --size without")
    network = parser.add_argument_group("network")
    network.add_argument("--model", choices=NETWORKS, help="pyramid and segnet are ours; the others need [models]")
    network.add_argument("--width", type=positive, metavar="N", help="channels of the first stage, without --encoder")
    network.add_argument("--encoder", metavar="NAME", help="of segmentation_models_pytorch; default resnet34")
    network.add_argument("--pretrained", action="store_true", help="the encoder's ImageNet weights (a download)")
    loss = parser.add_argument_group("loss")
    loss.add_argument("--loss", nargs="+", action="extend", metavar="LOSS",
                      help=f"one after the other: {', '.join(LOSSES)}; PATLoss(temperature=5); "
                      "SegmentationLoss(Focal(2), Variation(0.5), MaskSize())")  # fmt: skip
    loss.add_argument("--set", nargs="+", action="extend", metavar="[LOSS.]NAME=VALUE",
                      help="options of the losses, such as PATLoss.temperature=5")  # fmt: skip
    loss.add_argument("--import", nargs="+", action="extend", dest="imports", metavar="MODULE",
                      help="has curves of your own for --loss, and registers them; mine is mine.py here")  # fmt: skip
    steps = parser.add_argument_group("training")
    steps.add_argument("--steps", type=positive, metavar="N", help="training steps for each loss")
    steps.add_argument("--batch", type=positive, metavar="N", help="images in a step, over all processes")
    steps.add_argument("--optimizer", choices=OPTIMIZERS)
    steps.add_argument("--lr", type=rate, help="highest learning rate")
    steps.add_argument("--weight-decay", type=share, metavar="SHARE")
    steps.add_argument("--schedule", choices=SCHEDULES, help="of the learning rate")
    steps.add_argument("--warmup", type=share, metavar="SHARE", help="of the steps, in which the learning rate rises")
    steps.add_argument("--amp", choices=AUTOCAST, help="autocast of the network")
    steps.add_argument("--seed", type=natural, help="of scenes, weights and batches")
    steps.add_argument("--device", help="auto, cpu, cuda, ...")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help="parent of the run's folder, and of kept class counts")
    output.add_argument("--evaluate", type=positive, metavar="N", help="steps between rows of log.csv; a fifth of them")
    output.add_argument("--checkpoint", type=positive, metavar="N", help="steps between checkpoints")
    output.add_argument("--measure", action=argparse.BooleanOptionalAction, help="time and memory of the loss alone")


def defaults() -> str:
    """For the help."""
    budgets = "; ".join(f"{name} {s.size[0]} {s.size[1]}, {s.steps}, {s.batch}" for name, s in SETS.items())
    widths = ", ".join(f"{name} {n.width}" for name, n in NETWORKS.items() if n.width)
    others = ", ".join(f"{name} {_shown(value)}" for name, value in DEFAULTS.items() if value not in (None, ()))
    return f"Size, steps and batch unless given: {budgets}. Width: {widths}. The others: {others}."


def complete(given: dict[str, Any]) -> argparse.Namespace:
    """With the defaults of what was not given; ValueError on what cannot be used together."""
    budget = SETS[given.get("data", DEFAULTS["data"])]
    arguments = DEFAULTS | {"size": budget.size, "steps": budget.steps, "batch": budget.batch} | given
    arguments.setdefault("evaluate", max(1, arguments["steps"] // 5))
    for name in ("size", "crop", "scale", "loss", "set", "ignore", "imports"):
        arguments[name] = arguments[name] and tuple(arguments[name])
    args = argparse.Namespace(**arguments)
    if args.scale[0] > args.scale[1]:
        raise ValueError(f"--scale: got {args.scale[0]:g} {args.scale[1]:g}, expected the smaller first")
    for size in (args.size, args.crop or args.size):
        networks.check(args.model, size, given)
    if args.data == "scenes" and args.root is not None:
        raise ValueError(f"--root: got {args.root}, expected none: scenes are drawn; --data camvid reads one")
    if args.classes is not None and not 2 <= args.classes < VOID:
        raise ValueError(f"--classes: got {args.classes}, expected 2 to {VOID - 1}")
    load_modules(args.imports)
    expressions = [str(parse(text, args.set)) for text in args.loss]
    if len(set(expressions)) < len(expressions):
        raise ValueError(f"--loss: got {', '.join(expressions)}, expected each once")
    named = {setting.partition("=")[0].rpartition(".")[0] for setting in args.set} - {""}
    for loss in named - {text.partition("(")[0] for text in args.loss}:
        raise ValueError(f"--set: got an option of {loss}, which is not among --loss")
    return args


def load_modules(names: Sequence[str] | None) -> None:
    """For the curves that they register."""
    for name in names or ():
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"--import: got {name!r}, expected a module that Python finds, such as mine for the file mine.py in "
                f"this folder ({error})"
            ) from error


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
