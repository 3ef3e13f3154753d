"""Pictures: IoU of a class against its frequency, and the weight of a pixel against its probability."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure

from pat_triton.curves import Exponential, Focal

from ..svg import STYLE, finish
from .run_files import Run, by_loss, spread

COLOURS = {"CrossEntropyLoss": "#3b8fd4", "BLVLoss": "#2ba36b", "PATLoss": "#e0532f"}
TEMPERATURES = {2: "#8f2a10", 5: "#e0532f", 20: "#f0a08a"}
GAMMAS = {2: "#3b8fd4", 5: "#1d5380"}


def draw_classes(path: Path, runs: Sequence[Run]) -> None:
    """Of cross-entropy, BLV and PAT, of each the options that were run most often: mean, least and most. Instead of
    a picture that is there, of fewer runs; none without such losses."""
    path.unlink(missing_ok=True)
    chosen: dict[str, list[Run]] = {}
    for loss, found in by_loss(runs).items():
        kind = loss.partition("(")[0]
        if kind in COLOURS and len(found) > len(chosen.get(kind, ())):
            chosen[kind] = found
    if not chosen:
        return
    first = runs[0]
    places = sorted(range(len(first.classes)), key=lambda i: -first.shares[i])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        panel = figure.subplots()
        for kind, found in chosen.items():
            columns = [[100 * run.scores.iou[i] for run in found] for i in places]
            label = f"{found[0].loss}, {len(found)} seeds"
            middle = [spread(column)[0] for column in columns]
            panel.plot(range(len(places)), middle, "o-", color=COLOURS[kind], label=label, linewidth=1, markersize=4)
            panel.vlines(range(len(places)), list(map(min, columns)), list(map(max, columns)), color=COLOURS[kind])
        names = [f"{first.classes[i]}\n{100 * first.shares[i]:.2g} %" for i in places]
        panel.set_xticks(range(len(places)), names, rotation=0 if len(places) < 14 else 90)
        panel.set(ylabel="IoU, %", ylim=(0, 100))
        heading = (
            f"{first.arguments['data']}, {first.arguments['model']}: mean, least and most; classes by their pixels"
        )
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
