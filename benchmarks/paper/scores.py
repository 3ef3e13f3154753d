"""Runs as Markdown."""

from collections.abc import Callable, Iterable, Sequence

from ..markdown import table
from ..training.evaluate import Scores
from .run_files import Run, by_loss, spread

SHOWN: dict[str, Callable[[Scores], float]] = {
    "mIoU": lambda s: s.miou,
    "tail": lambda s: s.tail_miou,
    "head": lambda s: s.head_miou,
    "pixel accuracy": lambda s: s.pixel_accuracy,
    "Dice error": lambda s: s.dice_error,
}


def markdown(runs: Sequence[Run]) -> str:
    """Losses by their scores, classes by their IoU, and how the learning rates were found."""
    losses = by_loss(runs)
    if not losses:
        raise ValueError("found no run, expected some besides those of a sweep")
    parts = [_heading(runs), _scores(losses), _classes(losses)]
    swept = [run for run in runs if run.swept]
    if swept:
        parts.append(_sweep(swept))
    return "\n".join(parts)


def _heading(runs: Sequence[Run]) -> str:
    run = next(run for run in runs if not run.swept)
    a = run.arguments
    width = f" of width {a['width']}" if a["width"] else ""
    size = "x".join(map(str, a["crop"] or a["size"]))
    epochs = a["steps"] * a["batch"] / run.images["train"]
    return (
        f"{a['data']}, {a['model']}{width}, {size}, {a['steps']} steps of {a['batch']} images ({epochs:.0f} epochs), "
        f"{a['optimizer']}, {a['schedule']}, autocast {a['amp']}; judged on "
        f"{run.images[run.judged_on]} {run.judged_on} images; {run.device}, torch {run.versions['torch']}, "
        f"{run.date[:10]}; %, mean and standard deviation over seeds:\n"
    )


def _scores(losses: dict[str, list[Run]]) -> str:
    head = ("", "seeds", "learning rate", *SHOWN)
    rows = (
        (f"`{loss}`", str(len(runs)), f"{runs[0].arguments['lr']:g}",
         *(_percent([show(run.scores) for run in runs]) for show in SHOWN.values()))
        for loss, runs in losses.items()
    )  # fmt: skip
    return table(head, rows)


def _classes(losses: dict[str, list[Run]]) -> str:
    first = next(iter(losses.values()))[0]
    order = sorted(range(len(first.classes)), key=lambda i: -first.shares[i])
    head = ("IoU; % of pixels", *(f"{first.classes[i]} {_share(first.shares[i])}" for i in order))
    rows = (
        (f"`{loss}`", *(_percent([run.scores.iou[i] for run in runs], False) for i in order))
        for loss, runs in losses.items()
    )
    return table(head, rows)


def _sweep(runs: Sequence[Run]) -> str:
    rates = sorted({run.arguments["lr"] for run in runs})
    found = {(run.loss, run.arguments["lr"]): _percent([run.validated.miou]) for run in runs}
    rows = (
        (f"`{loss}`", *(found.get((loss, lr), "-") for lr in rates)) for loss in dict.fromkeys(r.loss for r in runs)
    )
    steps = runs[0].arguments["steps"]
    heading = f"Validation mIoU after {steps} steps, by which the learning rates were chosen:\n\n"
    return heading + table(("", *(f"{lr:g}" for lr in rates)), rows)


def _percent(values: Iterable[float], with_spread: bool = True) -> str:
    average, deviation = spread(list(values))
    if average != average:
        return "-"
    return f"{100 * average:.1f}" + (f" ± {100 * deviation:.1f}" if deviation is not None and with_spread else "")


def _share(share: float) -> str:
    return f"{100 * share:.2g}"
