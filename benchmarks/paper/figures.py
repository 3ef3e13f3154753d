"""Pictures: IoU of a class against its frequency, and the weight of a pixel against its probability."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure

from pat_triton.curves import Exponential, Focal

from ..plots import STYLE, finish
from .results import Run, by_loss, spread

COLOURS = {"CrossEntropyLoss": "#3b8fd4", "BLVLoss": "#2ba36b", "PATLoss": "#e0532f"}
TEMPERATURES = {2: "#8f2a10", 5: "#e0532f", 20: "#f0a08a"}
GAMMAS = {2: "#3b8fd4", 5: "#1d5380"}


def draw_classes(path: Path, runs: Sequence[Run]) -> None:
    """Of the losses that were run most often, and of PAT at T = 20: mean, least and most."""
    losses = {loss: found for loss, found in by_loss(runs).items() if loss.partition("(")[0] in COLOURS}
    most = max(map(len, losses.values()), default=0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        panel = figure.subplots()
        first = runs[0]
        order = sorted(range(len(first.classes)), key=lambda i: -first.shares[i])
        for loss, found in losses.items():
            if len(found) < most:
                continue
            columns = [[100 * run.scores.iou[i] for run in found] for i in order]
            middle = [spread(column)[0] for column in columns]
            colour = COLOURS[loss.partition("(")[0]]
            panel.plot(range(len(order)), middle, "o-", color=colour, label=loss, linewidth=1, markersize=4)
            panel.vlines(range(len(order)), list(map(min, columns)), list(map(max, columns)), color=colour)
        names = [f"{first.classes[i]}\n{100 * first.shares[i]:.2g} %" for i in order]
        panel.set_xticks(range(len(order)), names, rotation=0 if len(order) < 14 else 90)
        panel.set(ylabel="IoU, %", ylim=(0, 100))
        heading = f"{first.arguments['data']}, {first.arguments['model']}, {most} seeds: mean, least and most"
        finish(figure, path, heading, (panel,))


def draw_weights(path: Path) -> None:
    """Figure 3c: what a pixel's cross-entropy is multiplied by, against the probability of its label."""
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    u = p.log()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.8), layout="constrained")
        panel = figure.subplots()
        curves = {
            **{f"PAT, T = {t}": (Exponential(float(t)), "-", colour) for t, colour in TEMPERATURES.items()},
            **{f"focal, gamma = {g}": (Focal(float(g)), "--", colour) for g, colour in GAMMAS.items()},
        }
        for name, (curve, dashes, colour) in curves.items():
            value, _ = curve(u, p, 1 - p)
            panel.plot(p, value / -u, dashes, color=colour, label=name)
        panel.set(xlabel="probability of the label", ylabel="weight of its cross-entropy", xlim=(0, 1), ylim=(0, None))
        finish(figure, path, "PAT: exp((1 - p) / T); focal: (1 - p)^gamma", (panel,))
