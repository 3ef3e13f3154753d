"""The same network trained with one loss after the other, from the start or from a checkpoint."""

from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from ..speed.cost import Cost, costs, disagreement
from ..speed.ours import draws
from . import checkpoint
from .batches import Batches
from .datasets import VOID, Data
from .datasets.augmentation import Augmentation
from .evaluate import Judge, Scores
from .expression import Expression, parse, rival
from .log import write_log
from .loop import Training, fit
from .networks import NETWORKS, build, normalise
from .outcome import Outcome
from .parallel import launched, rank, size
from .picture import chosen


def compare(
    data: Data,
    args: Namespace,
    device: torch.device,
    folder: Path | None,
    saved: dict[str, Any],
    console: Console,
) -> list[Outcome]:
    """folder: for checkpoints and the log; None where another process writes and judges. saved: what a checkpoint
    held, or nothing."""
    outcomes = [Outcome.of(outcome) for outcome in saved.get("outcomes", ())]
    unfinished = saved.get("training")
    for text in args.loss[len(outcomes) :]:
        expression = parse(text, args.set)
        torch.manual_seed(args.seed)
        training = Training(
            build(args.model, len(data.classes.names), args.width, args.encoder, args.pretrained).to(device),
            _criterion(expression, data, args, device, shared=launched()),
            _batches(data, args),
            args,
            device,
        )
        torch.manual_seed(args.seed + rank())  # dropout: of other images in each process
        if unfinished is not None:
            training.load_state_dict(unfinished)
            unfinished = None
        judge = Judge(training.model, _criterion(expression, data, args, device), device, args.batch // size())
        note = partial(_note, folder, data, args, outcomes, training, judge, str(expression))
        save = partial(_save, folder, data, args, outcomes, training)
        fit(training, args, note=note, save=save, name=expression.name, console=console)
        if folder is not None:
            outcomes.append(_outcome(expression, training, judge, data, args))
    return outcomes


def rehearse(args: Namespace, classes: int) -> None:
    """ValueError if network or losses cannot be made: before the data are read, which can take minutes."""
    build(args.model, classes, args.width, args.encoder, pretrained=False)
    logits, labels = torch.zeros(1, classes, 2, 2), torch.full((1, 2, 2), VOID)
    for text in args.loss:
        expression = parse(text, args.set)
        try:
            expression.build(class_counts=[1] * classes)(logits, labels)
        except ValueError as error:
            message = str(error)
            raise ValueError(message if message.startswith("--loss") else f"--loss {expression}: {message}") from error


def _criterion(expression: Expression, data: Data, args: Namespace, device: torch.device, shared: bool = False) -> Any:
    """shared: with the mean of the whole batch, of which a process may hold more labelled pixels than another."""
    options = {"process_group": "world"} if shared else {}
    align = NETWORKS[args.model].align_corners
    return expression.build(class_counts=data.counts, align_corners=align, **options).to(device)


def _batches(data: Data, args: Namespace) -> Batches:
    augmentation = Augmentation(args.scale, args.crop or args.size)
    return Batches(data.train, args.batch, args.seed, augmentation)


def _note(
    folder: Path | None, data: Data, args: Namespace, outcomes: list[Outcome], training: Training, judge: Judge,
    name: str,
) -> None:  # fmt: skip
    """A row about the network as it is now: its loss and scores on the validation images."""
    losses = training.losses()
    if folder is None:
        return
    since = training.log[-1]["step"] if training.log else 0
    recent = losses[since:]
    scores = judge.scores(data.val, data.tail)
    row = {
        "loss": name, "step": len(losses), "learning_rate": training.optimizer.param_groups[0]["lr"],
        "training_loss": sum(recent) / max(len(recent), 1), **asdict(scores),
    }  # fmt: skip
    training.log.append(row)
    write_log(folder / "log.csv", data.classes.names, [*(row for o in outcomes for row in o.log), *training.log])


def _save(folder: Path | None, data: Data, args: Namespace, outcomes: list[Outcome], training: Training) -> None:
    # Every process makes the state, as the losses in it are averaged over them.
    state = {
        "arguments": vars(args),
        "data": data.summary(),
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "training": training.state_dict(),
    }
    if folder is not None:
        checkpoint.write(folder, state)


def _outcome(expression: Expression, training: Training, judge: Judge, data: Data, args: Namespace) -> Outcome:
    validated = Scores(**{name: training.log[-1][name] for name in Scores.__dataclass_fields__})
    ours, theirs, difference = _measured(expression, training, data, args) if args.measure else (None, None, None)
    return Outcome(
        name=str(expression),
        scores=validated if data.judged is data.val else judge.scores(data.judged, data.tail),
        validated=validated,
        ours=ours,
        eager=theirs,
        gradient_difference=difference,
        training_seconds=training.seconds,
        training_losses=tuple(training.losses()),
        log=tuple(training.log),
        predictions=judge.labels(data.val, chosen(data)),
    )


def _measured(
    expression: Expression, training: Training, data: Data, args: Namespace
) -> tuple[Cost, Cost | None, float | None]:
    """What the loss costs in a step, what eager torch costs, and how far their gradients are apart."""
    ours = _criterion(expression, data, args, training.device)
    theirs = rival(expression, data.counts.to(training.device), ours.align_corners)
    logits, target = _example(training, data, args)
    if theirs is None:
        return costs({"ours": ours}, logits, target)["ours"], None, None

    def eager(z: Tensor, y: Tensor) -> Tensor:
        with training.autocast():
            return theirs(z, y)

    measured = costs({"ours": ours, "eager": eager}, logits, target)
    difference = None if draws(ours) else disagreement(ours, eager, logits, target)
    return measured["ours"], measured["eager"], difference


def _example(training: Training, data: Data, args: Namespace) -> tuple[Tensor, Tensor]:
    """The logits of a training batch, and its labels as int64, which eager torch needs."""
    images, labels = next(_batches(data, args))
    # The network's running statistics stay as they are, and no other process is waited for.
    training.model.eval()
    with torch.no_grad(), training.autocast():
        logits = training.model(normalise(images.to(training.device)))
    return logits.requires_grad_(), labels.to(training.device, torch.int64)
