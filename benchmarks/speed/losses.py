"""Every loss beside its rivals on the same tensors: ``losses``; ``upsample`` where logits are smaller than labels."""

import argparse

from ..device import add_device, pick_timed
from ..options import natural
from ..storage import add_save, refuse_taken, write
from .case import DTYPES
from .contest import RIVALS
from .shapes import SHAPES, quarter, resolve
from .terminal import console, show
from .timing import machine
from .trial import run


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    dense = subparsers.add_parser("losses", help="time, memory and error of every loss beside its rivals")
    resized = subparsers.add_parser("upsample", help="the same for logits smaller than their labels")
    resized.add_argument(
        "--source", type=int, nargs=2, metavar=("H", "W"), help="size of the logits, instead of a quarter of --shape"
    )
    for job, parser in (("losses", dense), ("upsample", resized)):
        parser.add_argument(
            "--shape", nargs="+", default=["cityscapes"], metavar="NAME | B L H W", help=f"one of {', '.join(SHAPES)}"
        )
        add_options(parser)
        parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of the logits; rivals use autocast")
        parser.add_argument(
            "--load", type=natural, default=0, metavar="N", help="busy processes beside it while it is measured"
        )
        add_save(parser)
        parser.set_defaults(run=contest, job=job)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What ``all`` takes too."""
    add_device(parser)
    parser.add_argument(
        "--rivals", nargs="*", choices=RIVALS, default=RIVALS, help="besides the eager formulas; default all"
    )


def contest(args: argparse.Namespace) -> None:
    refuse_taken(args.save)
    device = pick_timed(args.device)
    name, shape = resolve(args.shape, device)
    source = tuple(args.source or quarter(shape)) if args.job == "upsample" else shape[2:]
    if min(source) < 1:
        raise ValueError(f"--source: got {source[0]} {source[1]}, expected two whole numbers from 1")
    out = console()
    with out.status("") as status:
        record = run(
            args.job, name, shape, source, args.dtype, machine(device), device, rivals=args.rivals, load=args.load,
            say=status.update,
        )  # fmt: skip
    out.print(show(record))
    if args.save is not None:
        write(args.save, record)
