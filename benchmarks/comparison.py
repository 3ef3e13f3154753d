"""The same network trained with one loss after the other, from the start or from a checkpoint."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

import pat_triton

from . import checkpoint, eager
from .batches import Batches
from .cost import Loss, costs, disagreement
from .data import Data
from .evaluate import evaluate, label
from .loop import Training, fit
from .model import PyramidNet, normalise
from .parallel import launched
from .picture import chosen
from .report import Outcome

CONTEST: tuple[tuple[str, Callable[..., Loss], Loss], ...] = (
    ("cross-entropy", pat_triton.CrossEntropyLoss, eager.cross_entropy),
    ("PAT", pat_triton.PATLoss, eager.pat),
)


def compare(
    data: Data,
    args: argparse.Namespace,
    device: torch.device,
    folder: Path | None,
    saved: dict[str, Any],
    console: Console,
) -> list[Outcome]:
    """folder: for checkpoints; None where another process writes and judges. saved: what one held, or nothing."""
    outcomes = [Outcome.of(outcome) for outcome in saved.get("outcomes", ())]
    unfinished = saved.get("training")
    for name, kind, rival in CONTEST[len(outcomes) :]:
        torch.manual_seed(args.seed)
        training = Training(
            PyramidNet(len(data.classes.names), args.width).to(device),
            _loss(kind),
            Batches(data.train, args.batch, args.seed),
            steps=args.steps, lr=args.lr, device=device,
        )  # fmt: skip
        if unfinished is not None:
            training.load_state_dict(unfinished)
            unfinished = None
        save = partial(_save, folder, data, args, outcomes, training)
        fit(training, args.steps, save=save, every=args.checkpoint, name=name, console=console)
        if folder is not None:
            outcomes.append(_judge(name, training, kind(), rival, data, args))
    return outcomes


def _loss(kind: Callable[..., Loss]) -> Loss:
    """With the mean of the whole batch, of which a process may hold more labelled pixels than another."""
    return kind(process_group="world") if launched() else kind()


def _save(
    folder: Path | None, data: Data, args: argparse.Namespace, outcomes: list[Outcome], training: Training
) -> None:
    # Every process makes the state, as the losses in it are averaged over them.
    state = {
        "arguments": vars(args),
        "classes": len(data.classes.names),
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "training": training.state_dict(),
    }
    if folder is not None:
        checkpoint.write(folder, state)


def _judge(name: str, training: Training, ours: Loss, rival: Loss, data: Data, args: argparse.Namespace) -> Outcome:
    model, device = training.model, training.device
    logits, target = _example(training, data, args)
    measured = costs({"ours": ours, "eager": rival}, logits, target)
    return Outcome(
        name=name,
        scores=evaluate(model, data.val, data.tail, device),
        ours=measured["ours"],
        eager=measured["eager"],
        gradient_difference=disagreement(ours, rival, logits, target),
        training_seconds=training.seconds,
        training_losses=tuple(training.losses()),
        predictions=label(model, data.val.images[chosen(data)], device),
    )


def _example(training: Training, data: Data, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """The logits of a training batch, and its labels as int64, which eager torch needs."""
    images, labels = next(Batches(data.train, args.batch, args.seed))
    # The network's running statistics stay as they are, and no other process is waited for.
    training.model.eval()
    with torch.no_grad():
        logits = training.model(normalise(images.to(training.device)))
    return logits.requires_grad_(), labels.to(training.device, torch.int64)
