"""What ``train`` can be told, and what it does unless told otherwise."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pat_triton.losses import CATALOGUE

from ..options import natural, positive, rate, share
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
                      help="scenes are synthetic; the others are read from --root: folder is any folder of images and "
                      "labels, ade20k any that is laid out as ADE20K is")  # fmt: skip
    data.add_argument("--root", metavar="DIR", help="folder of the data set")
    data.add_argument("--classes", type=positive, metavar="N", help="how many; for folder, and for ade20k if not 150")
    data.add_argument("--labels-from", type=int, choices=(0, 1),
                      help="label of the first class; unless given 0 for folder, and for ade20k 1, where 0 is "
                      "ignored")  # fmt: skip
    data.add_argument("--ignore", type=natural, nargs="+", metavar="N",
                      help="labels that are ignored; unless given 255 for folder, and none for ade20k")  # fmt: skip
    data.add_argument("--size", type=positive, nargs=2, metavar=("H", "W"), help="pixels that images are resized to")
    data.add_argument("--scale", type=rate, nargs=2, metavar=("MIN", "MAX"),
                      help="range of the random factor that training images are scaled by")  # fmt: skip
    data.add_argument("--crop", type=positive, nargs=2, metavar=("H", "W"), help="random crop; --size unless given")
    network = parser.add_argument_group("network")
    network.add_argument("--model", choices=NETWORKS,
                         help="pyramid and segnet are of this repository; others need the extra models")  # fmt: skip
    network.add_argument("--width", type=positive, metavar="N", help="channels of the first stage, without --encoder")
    network.add_argument("--encoder", metavar="NAME", help="of segmentation_models_pytorch; resnet34 unless given")
    network.add_argument("--pretrained", action="store_true", help="load the encoder's ImageNet weights (a download)")
    loss = parser.add_argument_group("loss")
    loss.add_argument("--loss", nargs="+", action="extend", metavar="LOSS",
                      help=f"to train with, one after the other: {', '.join(CATALOGUE)}; with options, such as "
                      "PATLoss(temperature=5); made of parts, such as "
                      "SegmentationLoss(Focal(2), Variation(0.5), MaskSize()); or a sum with region losses, such as "
                      "'PATLoss + 0.5 * DiceLoss'")  # fmt: skip
    loss.add_argument("--set", nargs="+", action="extend", metavar="[LOSS.]NAME=VALUE",
                      help="options of the losses, such as PATLoss.temperature=5")  # fmt: skip
    loss.add_argument("--import", nargs="+", action="extend", dest="imports", metavar="MODULE",
                      help="a module that registers curves of your own for --loss; mine is mine.py here")  # fmt: skip
    steps = parser.add_argument_group("training")
    steps.add_argument("--steps", type=positive, metavar="N", help="training steps for each loss")
    steps.add_argument("--batch", type=positive, metavar="N", help="images in a step, of all processes together")
    steps.add_argument("--optimizer", choices=OPTIMIZERS)
    steps.add_argument("--lr", type=rate, help="highest learning rate")
    steps.add_argument("--weight-decay", type=share, metavar="SHARE")
    steps.add_argument("--schedule", choices=SCHEDULES, help="of the learning rate")
    steps.add_argument("--warmup", type=share, metavar="SHARE", help="of the steps, in which the learning rate rises")
    steps.add_argument("--amp", choices=AUTOCAST, help="mixed precision of the network")
    steps.add_argument("--seed", type=natural, help="of scenes, network weights and batches")
    steps.add_argument("--device", help="auto, cpu, cuda, ...")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help="folder of all runs, each in its own, and of kept class counts")
    output.add_argument("--evaluate", type=positive, metavar="N",
                        help="steps between rows of log.csv; a fifth of --steps unless given")  # fmt: skip
    output.add_argument("--checkpoint", type=positive, metavar="N", help="steps between checkpoints")
    output.add_argument("--measure", action=argparse.BooleanOptionalAction, help="time and memory of the loss alone")


def defaults() -> str:
    """For the help."""
    budgets = "; ".join(f"{name} {s.size[0]} {s.size[1]}, {s.steps}, {s.batch}" for name, s in SETS.items())
    widths = ", ".join(f"{name} {n.width}" for name, n in NETWORKS.items() if n.width)
    others = ", ".join(f"{name} {_shown(value)}" for name, value in DEFAULTS.items() if value not in (None, ()))
    return f"Unless given, --size, --steps, --batch are: {budgets}. --width: {widths}. The others: {others}."


def complete(given: dict[str, Any]) -> argparse.Namespace:
    """With the defaults of what was not given; ValueError on what cannot be used together."""
    budget = SETS[given.get("data", DEFAULTS["data"])]
    arguments = DEFAULTS | {"size": budget.size, "steps": budget.steps, "batch": budget.batch} | given
    arguments.setdefault("evaluate", max(1, arguments["steps"] // 5))
    for name in ("size", "crop", "scale", "loss", "set", "ignore", "imports"):
        arguments[name] = arguments[name] and tuple(arguments[name])
    args = argparse.Namespace(**arguments)
    if args.scale[0] > args.scale[1]:
        raise ValueError(f"--scale: got {args.scale[0]:g} {args.scale[1]:g}, expected the smaller number first")
    for size in (args.size, args.crop or args.size):
        networks.check(args.model, size, given)
    if args.data == "scenes" and args.root is not None:
        raise ValueError(f"--root: got {args.root}, expected none: scenes are synthetic; --data folder reads one")
    if args.classes is not None and not 2 <= args.classes < VOID:
        raise ValueError(f"--classes: got {args.classes}, expected 2 to {VOID - 1}")
    load_modules(args.imports)
    expressions = [parse(text, args.set) for text in args.loss]
    if len(set(expressions)) < len(expressions):
        raise ValueError(f"--loss: got {', '.join(map(str, expressions))}, expected each loss once")
    named = {setting.partition("=")[0].rpartition(".")[0] for setting in args.set} - {""}
    for loss in named - {term.name for expression in expressions for term in expression.terms}:
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
