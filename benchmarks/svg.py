"""How all pictures look: SVG, without a background, in colours that stand out from white and from black."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

GREY = "#808080"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pat_triton",
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
}


def decades(axis: Axis) -> None:
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
