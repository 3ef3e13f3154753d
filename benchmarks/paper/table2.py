"""Table 2, time and space complexity, as measured: ``paper table2``."""

import argparse

from rich.table import Table

from ..device import add_device, pick_timed
from ..speed.case import DTYPES
from ..speed.contest import OURS
from ..speed.record import Growth, Record, place
from ..speed.shapes import SHAPES, resolve
from ..speed.terminal import console
from ..speed.timing import machine
from ..speed.trial import run as measure
from ..storage import add_save, refuse_taken, write

TWICE = ("of 2x pixels", "of 2x classes")
BUDGET = 0.5  # seconds of timing for each contestant


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("table2", help="bytes and time of every loss, and what twice the size does to them")
    parser.add_argument(
        "--shape", nargs="+", default=["camvid"], metavar="NAME | B L H W", help=f"one of {', '.join(SHAPES)}"
    )
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of the logits")
    add_device(parser)
    add_save(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    refuse_taken(args.save)
    device = pick_timed(args.device)
    name, (B, L, H, W) = resolve(args.shape, device)
    if 2 * L > 255:
        raise ValueError(f"--shape: got {L} classes, expected at most 127: twice as many are measured, 255 is ignored")
    shapes = {"": (B, L, H, W), " pixels": (B, L, 2 * H, W), " classes": (B, 2 * L, H, W)}
    out, here = console(), machine(device)
    with out.status("") as status:
        records = [
            measure(
                "losses", name + twice, shape, shape[2:], args.dtype, here, device,
                rivals=("released",), budget=BUDGET, say=status.update,
            )
            for twice, shape in shapes.items()
        ]  # fmt: skip
    growth = Growth("complexity", tuple(records))
    out.print(show(growth))
    if args.save is not None:
        write(args.save, growth)


def show(growth: Growth) -> Table:
    """growth: records of a shape, of twice its pixels and of twice its classes."""
    base, pixels, classes = growth.records
    B, L, H, W = base.shape
    table = Table(
        title=f"Table 2, measured: {B}x{L}x{H}x{W}, {base.dtype}, loss + gradient, {place(base)}",
        caption="bytes: most alive at once beyond the logits, for each logit; copies: the same in logits. "
        "of 2x pixels, classes: what bytes, or time, are multiplied by when there are twice as many; linear is 2",
        caption_justify="left",
    )
    table.add_column("loss")
    table.add_column("")
    for column in ("bytes", "copies", *TWICE, "ns a pixel", *TWICE):
        table.add_column(column, justify="right")
    for row in base.rows:
        cost = row.cost
        if cost is None:
            continue
        bigger = [_cost(record, row.loss, row.contestant) for record in (pixels, classes)]
        table.add_row(
            row.loss if row.contestant in OURS else "",
            row.contestant,
            f"{cost.bytes / (B * L * H * W):.1f}",
            f"{cost.copies:.2f}",
            *(f"{other.bytes / cost.bytes:.2f}" for other in bigger),
            f"{cost.seconds / (B * H * W) * 1e9:.0f}",
            *(f"{other.seconds / cost.seconds:.1f}" for other in bigger),
        )
    return table


def _cost(record: Record, loss: str, contestant: str):  # type: ignore[no-untyped-def]
    cost = record.cost(loss, (contestant,))
    assert cost is not None  # the smaller one ran
    return cost
