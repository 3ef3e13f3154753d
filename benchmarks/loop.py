"""One training: a network, a loss, batches, and the progress of it."""

import math
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .batches import Batches
from .cost import Loss
from .model import normalise
from .parallel import average, launched, share

WARMUP = 0.1  # share of the steps in which the learning rate rises


class Training:
    """Adam on a cosine schedule, one step after the other; its state is all that the next ones depend on."""

    def __init__(
        self, model: nn.Module, loss: Loss, batches: Batches, *, steps: int, lr: float, device: torch.device
    ) -> None:
        self.model = model
        self.network = DistributedDataParallel(model) if launched() else model
        self.loss = loss
        self.batches = batches
        self.device = device
        self.optimizer = torch.optim.Adam(model.parameters(), lr)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: _rate(step / steps))
        self.seconds = 0.0
        self._read: list[float] = []
        self._unread: list[Tensor] = []

    def step(self) -> None:
        images, labels = (share(part).to(self.device) for part in next(self.batches))
        value = self.loss(self.network(normalise(images)), labels)
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        self.schedule.step()
        self._unread.append(value.detach())

    def losses(self) -> list[float]:
        """Of every step so far. Reading them waits for the device, and for the other processes."""
        if self._unread:
            self._read += average(torch.stack(self._unread)).tolist()
            self._unread.clear()
        return self._read

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule", "batches")}
        # Those of one process are those of all: each seeds them and draws from them alike.
        generators = {name: source.get_rng_state() for name, source in _generators(self.device).items()}
        return {**parts, "generators": generators, "losses": self.losses(), "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("model", "optimizer", "schedule", "batches"):
            getattr(self, name).load_state_dict(state[name])
        for name, source in _generators(self.device).items():
            if name in state["generators"]:
                source.set_rng_state(state["generators"][name])
        self._read, self.seconds = state["losses"], state["seconds"]


def fit(training: Training, steps: int, *, save: Callable[[], None], every: int, name: str, console: Console) -> None:
    """To that many steps in all; ``save`` is called after every so many, and after the last."""
    training.model.train()
    losses = training.losses()
    earlier, start = training.seconds, time.perf_counter()
    with _progress(console) as progress:
        task = progress.add_task(name, total=steps, completed=len(losses), loss=losses[-1] if losses else math.nan)
        for step in range(len(losses) + 1, steps + 1):
            training.step()
            # Not at every step, as it waits for the device.
            if step % 10 == 0 or step == steps:
                progress.update(task, loss=training.losses()[-1])
            progress.advance(task)
            training.seconds = earlier + time.perf_counter() - start
            if step % every == 0 or step == steps:
                save()


def _generators(device: torch.device) -> dict[str, ModuleType]:
    return {"cpu": torch} if device.type == "cpu" else {"cpu": torch, device.type: torch.get_device_module(device)}


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
