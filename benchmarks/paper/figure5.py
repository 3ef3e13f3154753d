"""Figure 5, what the loss takes of a training step: ``paper figure5``."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor, nn

from pat_triton.backends.torch import workspace
from pat_triton.losses import CATALOGUE

from ..device import Machine, add_device, pick_timed
from ..markdown import table
from ..options import positive
from ..speed.case import example
from ..speed.contest import OURS, Contestant, everyone
from ..speed.cost import Cost, Loss, measured
from ..speed.shapes import Shape
from ..speed.terminal import console
from ..speed.timing import Step, footprint, machine
from ..speed.trial import checked
from ..storage import add_save, read, refuse_taken, write
from ..training.networks import build, check

LOSSES = tuple(CATALOGUE)
NETWORKS = ("segnet", "pyramid")  # logits of the image's size, and of a quarter
CLASSES = 19
# (images, height, width), and channels of the first stage.
SIZES = {"cpu": ((2, 256, 512), 16), "cuda": ((8, 512, 1024), 64)}
BUDGET = 0.5  # seconds of timing for each
NETWORK = "network"
COLUMNS = ["loss", "", "ms", "% of time", "step, MiB", "added, MiB", "% of memory"]
CAPTION = (
    "ms: the loss, forward and backward; % of time: of network and loss together; step: most alive at once in forward "
    "and backward of both; added: by the loss to the network's own peak (0 if the step's is no higher), and its share"
)


@dataclass(frozen=True)
class Share:
    """alone: the loss and its gradient, on logits that are there. step_bytes: most alive at once in a forward and
    backward pass of network and loss, beyond the network's weights."""

    loss: str
    contestant: str
    alone: Cost
    step_bytes: int


@dataclass(frozen=True)
class Shares:
    """One network. shape (B, L, H, W) of the labels, source (h, w) of the logits. alone: the network's forward and
    backward pass, with a gradient of the logits that is there."""

    network: str
    width: int
    shape: tuple[int, ...]
    source: tuple[int, ...]
    alone: Cost
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Figure5:
    machine: Machine
    networks: tuple[Shares, ...]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("figure5", help="the loss's share of a training step's time and memory")
    parser.add_argument("--size", type=positive, nargs=3, metavar=("B", "H", "W"), help="of the images")
    parser.add_argument("--width", type=positive, metavar="N", help="channels of the first stage")
    add_device(parser)
    add_save(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    refuse_taken(args.save)
    device = pick_timed(args.device)
    size, width = SIZES[device.type]
    B, H, W = args.size or size
    for name in NETWORKS:
        check(name, (H, W), {"size": (H, W)})
    out = console()
    with out.status("") as status:
        networks = tuple(
            shares(name, (B, CLASSES, H, W), args.width or width, device, status.update) for name in NETWORKS
        )
    figure = Figure5(machine(device), networks)
    for network in networks:
        out.print(show(network))
    if args.save is not None:
        write(args.save, figure)


def shares(name: str, shape: Shape, width: int, device: torch.device, say: Callable[[str], None]) -> Shares:
    B, L, H, W = shape
    torch.manual_seed(0)
    model = build(name, L, width, "", False).to(device)
    images = torch.randn(B, 3, H, W, device=device).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        logits = model(images)
    case = example(shape, logits.shape[2:], "fp32", device)
    calls: dict[str, tuple[Contestant, Loss]] = {}
    for loss in LOSSES:
        say(f"{name}: checking {loss}")
        for contestant, row in checked(loss, case, everyone(case.device, ("released",))).items():
            if not row.not_run and not isinstance(contestant.call, str):
                calls[str(contestant)] = contestant, contestant.call
    say(f"{name}: measuring")
    gradient = torch.randn_like(logits)
    steps: dict[str, Step] = {name: partial(case.step, call) for name, (_, call) in calls.items()}
    steps[NETWORK] = partial(_step, model, images, lambda z: z.backward(gradient))
    steps[NETWORK]()  # what only a first call does
    alone = measured(steps, case.logits, case.target, BUDGET)
    # Of whole steps only the memory: their time is the parts', each steadier than the difference of two wholes.
    memory = {}
    for key, (_, call) in calls.items():
        workspace.forget()
        whole = partial(_step, model, images, lambda z, call=call: call(z, case.target).backward())  # type: ignore[misc]
        memory[key], _ = footprint(whole, device)
    made = tuple(Share(c.loss, c.name, alone[key], memory[key]) for key, (c, _) in calls.items())
    return Shares(name, width, shape, tuple(logits.shape[2:]), alone[NETWORK], made)


def _step(model: nn.Module, images: Tensor, backward: Callable[[Tensor], object]) -> None:
    model.zero_grad()
    backward(model(images))


def show(network: Shares) -> Table:
    shown = Table(title=title(network), caption=CAPTION, caption_justify="left")
    for i, column in enumerate(COLUMNS):
        shown.add_column(column, justify="left" if i < 2 else "right")
    for part in network.shares:
        shown.add_row(*cells(network, part))
    return shown


def markdown(file: Path) -> str:
    """Of a saved record."""
    figure = read(file, Figure5)
    m = figure.machine
    parts = [f"{m.device}, {m.threads} threads, torch {m.torch}, {m.date}. {CAPTION[0].upper()}{CAPTION[1:]}.\n"]
    for network in figure.networks:
        rows = (cells(network, part) for part in network.shares)
        parts.append(f"{title(network)}:\n\n" + table(COLUMNS, rows))
    return "\n".join(parts)


def title(network: Shares) -> str:
    B, L, H, W = network.shape
    return (
        f"{network.network} of width {network.width}, {B}x3x{H}x{W}, {L} classes, logits {network.source[0]}x"
        f"{network.source[1]}, fp32: {1e3 * network.alone.seconds:.0f} ms forward and backward without a loss, "
        f"{network.alone.bytes / 2**20:.0f} MiB"
    )


def cells(network: Shares, part: Share) -> list[str]:
    added = max(0, part.step_bytes - network.alone.bytes)
    return [
        part.loss if part.contestant in OURS else "",
        "ours" if part.contestant in OURS else part.contestant,
        f"{1e3 * part.alone.seconds:.1f}",
        f"{100 * part.alone.seconds / (part.alone.seconds + network.alone.seconds):.1f}",
        f"{part.step_bytes / 2**20:.0f}",
        f"{added / 2**20:.0f}",
        f"{100 * added / part.step_bytes:.1f}",
    ]
