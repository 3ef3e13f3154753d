"""Figure 3c, what a pixel weighs by the probability of its label: ``paper figure3``."""

import argparse
from pathlib import Path

from rich.console import Console

from ..storage import refuse_taken
from .class_plot import draw_weights


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("figure3", help="the weight of a pixel by the probability of its label, drawn")
    parser.add_argument("--save", type=Path, required=True, metavar="FILE", help="SVG; must not exist")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.save.suffix != ".svg":
        raise ValueError(f"--save: got {args.save}, expected a name that ends in .svg")
    refuse_taken(args.save)
    args.save.parent.mkdir(parents=True, exist_ok=True)
    draw_weights(args.save)
    Console().print(f"picture: {args.save}", soft_wrap=True)
