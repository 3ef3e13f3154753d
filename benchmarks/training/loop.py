"""One training: a network, a loss, batches, and the progress of it."""

import math
import time
from argparse import Namespace
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..speed.cost import Loss
from .batches import Batches
from .networks import normalise
from .parallel import average, gather, launched, rank
from .schedule import share_of_rate

AUTOCAST = {"none": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": lambda parameters, lr, weight_decay: torch.optim.SGD(parameters, lr, 0.9, weight_decay=weight_decay),
}
STATES = ("model", "optimizer", "scaler", "batches")


class Training:
    """One step after the other; its state is all that the next ones depend on.

    args: of the job. log: rows about the network at some steps.
    """

    def __init__(self, model: nn.Module, loss: Loss, batches: Batches, args: Namespace, device: torch.device) -> None:
        self.model = model
        self.network = DistributedDataParallel(model) if launched() else model
        self.loss = loss
        self.batches = batches
        self.device = device
        self.amp = AUTOCAST[args.amp]
        self.scaler = torch.amp.GradScaler(device.type, enabled=args.amp == "fp16")
        self.optimizer = OPTIMIZERS[args.optimizer](model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
        self.args = args
        self.seconds = 0.0
        self.log: list[dict[str, Any]] = []
        self._read: list[float] = []
        self._unread: list[Tensor] = []

    def step(self) -> None:
        images, labels = (part.to(self.device) for part in next(self.batches))
        with self.autocast():
            logits = self._logits(normalise(images))
        value = self.loss(logits, labels)
        self.optimizer.zero_grad()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.scaler.scale(value).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._unread.append(value.detach())

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.amp, enabled=self.amp != torch.float32)

    def _logits(self, images: Tensor) -> Tensor:
        try:
            return self.network(images)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                f"--batch: got {len(images)} image in a process, with features of 1 x 1, where batch normalisation has "
                "nothing to take a mean over; expected 2 or more images, or larger ones"
            ) from error

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        done = len(self._read) + len(self._unread)
        return self.args.lr * share_of_rate(self.args.schedule, done / self.args.steps, self.args.warmup)

    def losses(self) -> list[float]:
        """Of every step so far. Reading them waits for the device, and for the other processes."""
        if self._unread:
            self._read += average(torch.stack(self._unread)).tolist()
            self._unread.clear()
        return self._read

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in STATES}
        generators = gather({name: source.get_rng_state() for name, source in _generators(self.device).items()})
        numbers = {"losses": self.losses(), "log": self.log, "seconds": self.seconds}
        return {**parts, "generators": generators, **numbers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATES:
            getattr(self, name).load_state_dict(state[name])
        # Of another number of processes there are not enough, and the first's serve.
        generators = state["generators"][rank() if len(state["generators"]) > rank() else 0]
        for name, source in _generators(self.device).items():
            if name in generators:
                source.set_rng_state(generators[name])
        self._read, self.log, self.seconds = state["losses"], state["log"], state["seconds"]


def fit(
    training: Training, args: Namespace, *, note: Callable[[], None], save: Callable[[], None], name: str,
    console: Console,
) -> None:  # fmt: skip
    """To ``args.steps`` in all. ``note`` is called after every ``args.evaluate`` and after the last; ``save`` after
    every ``args.checkpoint`` and after the last."""
    losses = training.losses()
    start = time.perf_counter() - training.seconds
    with _progress(console) as progress:
        task = progress.add_task(name, total=args.steps, completed=len(losses), loss=losses[-1] if losses else math.nan)
        for step in range(len(losses) + 1, args.steps + 1):
            training.model.train()
            training.step()
            last = step == args.steps
            # Not at every step, as it waits for the device.
            if step % 10 == 0 or last:
                progress.update(task, loss=training.losses()[-1])
            progress.advance(task)
            training.seconds = time.perf_counter() - start
            if step % args.evaluate == 0 or last:
                note()
                start = time.perf_counter() - training.seconds  # judging is not training
            if step % args.checkpoint == 0 or last:
                save()


def _generators(device: torch.device) -> dict[str, ModuleType]:
    return {"cpu": torch} if device.type == "cpu" else {"cpu": torch, device.type: torch.get_device_module(device)}


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
