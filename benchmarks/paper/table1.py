"""Table 1, from the losses themselves: ``paper table1``."""

import argparse

import torch
from rich.table import Table

from pat_triton import FocalLoss, PATLoss, SegmentationLoss

from ..speed.terminal import console

P = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# What the paper prints, and the loss that has these values.
ROWS: dict[str, tuple[SegmentationLoss, tuple[float, ...]]] = {
    "PAT, T = 2": (
        PATLoss(2, variant="table1", reduction="none"), (1.08, 0.85, 0.68, 0.54, 0.42, 0.31, 0.20, 0.10),
    ),
    "PAT, T = 5": (
        PATLoss(5, variant="table1", reduction="none"), (1.37, 1.05, 0.81, 0.63, 0.47, 0.34, 0.21, 0.10),
    ),
    "focal, gamma = 2": (FocalLoss(2, reduction="none"), (1.03, 0.59, 0.33, 0.17, 0.08, 0.03, 0.01, 0.00)),
    "focal, gamma = 5": (FocalLoss(5, reduction="none"), (0.53, 0.20, 0.07, 0.02, 0.01, 0.00, 0.00, 0.00)),
}  # fmt: skip
EQUATION_5 = PATLoss(2, reduction="none")
ROUNDING = 0.00501  # of two digits, at a tie either way


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("table1", help="the loss of a pixel by the probability of its label")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    table = Table(title="Table 1: the loss of a pixel by the probability of its label; what differs is followed by ≠")
    for heading in ("", *(f"{p:g}" for p in P)):
        table.add_column(heading, justify="right")
    agree = 0
    for name, (loss, printed) in ROWS.items():
        cells = []
        for value, there in zip(of_a_pixel(loss), printed, strict=True):
            same = abs(value - there) <= ROUNDING
            cells.append(f"{there:.2f}" if same else f"{value:.2f} ≠ {there:.2f}")
            agree += same
        table.add_row(name, *cells)
    table.add_section()
    table.add_row("equation 5, T = 2", *(f"{value:.2f}" for value in of_a_pixel(EQUATION_5)))
    console().print(table, f"{agree} of {len(ROWS) * len(P)} values as printed, by variant='table1'; "
                    "variant='paper' is equation 5")  # fmt: skip


def of_a_pixel(loss: SegmentationLoss) -> list[float]:
    """At each of ``P``: of two classes, each pixel an image of its own, so that mask sizes are 1. Focal's mean over
    pixels is not taken."""
    p = torch.tensor(P, dtype=torch.float64)
    logits = torch.stack((p.log(), (1 - p).log()), 1)[..., None]
    return loss(logits, torch.zeros(len(p), 1, dtype=torch.int64))[:, 0].tolist()
