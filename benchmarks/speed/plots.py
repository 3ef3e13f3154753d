"""Pictures of records."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from ..svg import STYLE, decades, finish
from .contest import OURS
from .record import Growth, Record, place, title

COLOURS = {"ours": "#e0532f", "eager": "#3b8fd4", "compiled": "#2ba36b", "released": "#b07d2b", "liger": "#9467d1"}


def draw_losses(path: Path, record: Record) -> None:
    """Time and memory of every contestant, a line a loss."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        time, memory = figure.subplots(1, 2, sharey=True)
        losses = list(dict.fromkeys(row.loss for row in record.rows))
        for who, colour in COLOURS.items():
            names = OURS if who == "ours" else (who,)
            costs = [(line, cost) for line, loss in enumerate(losses) if (cost := record.cost(loss, names))]
            if not costs:
                continue
            lines = [line for line, _ in costs]
            quartiles = [[cost.low * 1e3 for _, cost in costs], [cost.high * 1e3 for _, cost in costs]]
            time.hlines(lines, *quartiles, color=colour)
            time.plot([cost.seconds * 1e3 for _, cost in costs], lines, "o", color=colour, label=who)
            memory.plot([cost.copies for _, cost in costs], lines, "o", color=colour)
        time.set(xscale="log", xlabel="ms, median and quartiles", yticks=range(len(losses)), yticklabels=losses)
        memory.set(xlabel="memory beyond the logits, in logits of full size", xlim=(0, None))
        time.invert_yaxis()
        decades(time.xaxis)
        finish(figure, path, title(record), (time, memory))


def draw_growth(path: Path, curves: Sequence[Growth]) -> None:
    """Time over the variable of each."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for panel, growth in zip(panels, curves, strict=True):
            shapes = [record.shape for record in growth.records]
            classes = growth.over == "classes"
            x = [L if classes else H * W for _, L, H, W in shapes]
            for loss, dashes in (("CrossEntropyLoss", "--"), ("PATLoss", "-")):
                for who, names in (("ours", OURS), ("eager", ("eager",))):
                    costs = [record.cost(loss, names) for record in growth.records]
                    y = [cost.seconds * 1e3 if cost else float("nan") for cost in costs]
                    panel.plot(x, y, dashes, marker=".", color=COLOURS[who], label=f"{loss}, {who}")
            images, L, H, W = shapes[0]
            fixed = f"{H}x{W} pixels" if classes else f"{L} classes"
            panel.set(xscale="log", yscale="log", xlabel=f"{growth.over} ({images} images, {fixed})")
            panel.set_xticks(x, [str(L) if classes else f"{H}x{W}" for _, L, H, W in shapes], minor=False)
            panel.set_xticks([], minor=True)
        panels[0].set(ylabel="ms, loss + gradient")
        decades(panels[0].yaxis)
        finish(figure, path, place(curves[0].records[0]), panels)
