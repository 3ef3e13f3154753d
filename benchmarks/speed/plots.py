"""Pictures of records: SVG, without a background, in colours that stand out from white and from black."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..captions import place, title
from ..storage import Growth, Record
from .contest import OURS

GREY = "#808080"
COLOURS = {"ours": "#e0532f", "eager": "#3b8fd4", "compiled": "#2ba36b", "released": "#b07d2b", "liger": "#9467d1"}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pat_triton",
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
}


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
        _decades(time.xaxis)
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
        _decades(panels[0].yaxis)
        finish(figure, path, place(curves[0].records[0]), panels)


def draw_predictions(path: Path, heading: str, points: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Predicted over measured microseconds, a colour a case, and the line where they agree."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 7.5), layout="constrained")
        panel = figure.subplots()
        for number, (name, pairs) in enumerate(points.items()):
            measured, predicted = zip(*pairs, strict=True)
            panel.plot(measured, predicted, "o", markersize=4, color=f"C{number}", label=name)
        ends = [end(time for pairs in points.values() for pair in pairs for time in pair) for end in (min, max)]
        panel.plot(ends, ends, color=GREY, linewidth=1)
        panel.set(xscale="log", yscale="log", xlabel="measured, microseconds", ylabel="predicted", aspect="equal")
        for axis in (panel.xaxis, panel.yaxis):
            _decades(axis)
        finish(figure, path, heading, (panel,))


def _decades(axis: Axis) -> None:
    """1, 2, 5, 10, ... of a logarithmic axis, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def finish(figure: Figure, path: Path, heading: str, panels: Sequence[Axes]) -> None:
    for panel in panels:
        panel.grid(color=GREY, alpha=0.3)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(heading, fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    with path.open("xb") as file:
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
