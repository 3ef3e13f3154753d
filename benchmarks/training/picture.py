"""Predictions side by side, as a PNG."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from .datasets import VOID, Data
from .datasets.splits import stack

# Matplotlib says there that it builds its font cache, on the first run of all.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


def chosen(data: Data, rows: int = 5) -> list[int]:
    """Numbers of the evenly spaced validation images that are drawn."""
    images = len(data.val)
    return torch.linspace(0, images - 1, min(rows, images)).long().tolist()


def draw(path: Path, data: Data, predictions: Mapping[str, Tensor]) -> None:
    """The chosen validation images, a row each: image, labels, and the predictions (rows, H, W) by name."""
    images, truth = stack(data.val[number] for number in chosen(data))
    colours = torch.zeros(VOID + 1, 3, dtype=torch.uint8)
    colours[: len(data.classes.colours)] = torch.tensor(data.classes.colours, dtype=torch.uint8)
    columns = {
        "image": images,
        "labels": colours[truth.long()],
        **{name: colours[labels.long()] for name, labels in predictions.items()},
    }

    height, width = truth.shape[1:]
    inches = 3.4
    size = (inches * len(columns), inches * height / width * len(images) + 0.9)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(images), len(columns), squeeze=False)
    for column, (title, pictures) in enumerate(columns.items()):
        axes[0, column].set_title(title)
        for row, picture in enumerate(pictures):
            axes[row, column].imshow(picture.numpy(), interpolation="nearest")
            axes[row, column].set_axis_off()
    named = zip((*data.classes.colours, (0, 0, 0)), (*data.classes.names, "unlabelled"), strict=True)
    patches = [Patch(color=(r / 255, g / 255, b / 255), label=name) for (r, g, b), name in named]
    figure.legend(handles=patches, loc="outside lower center", ncols=7, frameon=False, fontsize=9)
    figure.savefig(path)
