"""One training: a network, a loss, batches, and the progress of it."""

import math

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from .cost import Loss
from .data import Split
from .model import normalise

WARMUP = 0.1  # share of the steps in which the learning rate rises


def fit(
    model: nn.Module,
    loss: Loss,
    split: Split,
    *,
    batch: int,
    steps: int,
    lr: float,
    seed: int,
    device: torch.device,
    name: str,
    console: Console,
) -> None:
    """Adam on a cosine schedule; the same seed gives the same batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps))
    model.train()
    with _progress(console) as progress:
        task = progress.add_task(name, total=steps, loss=math.nan)
        for step, (images, labels) in enumerate(split.batches(batch, steps, seed), 1):
            value = loss(model(normalise(images.to(device))), labels.to(device))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            # Reading the loss waits for the device, so not at every step.
            if step % 10 == 0 or step == steps:
                progress.update(task, loss=value.item())
            progress.advance(task)


def _rate(done: float) -> float:
    return min(1.0, (done + 1e-3) / WARMUP) * (1 + math.cos(math.pi * done)) / 2


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
