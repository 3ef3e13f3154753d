"""The three data sets, in memory at the working size."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from .canvas import VOID
from .catalogue import FOLDERS, SCENES, Classes
from .folders import Layout, Pair
from .parallel import rank
from .scenes import scene

Sample = tuple[np.ndarray, np.ndarray]

NUMBER_OF_SCENES = {"train": 400, "val": 60}
TAIL_SHARE = 0.02


@dataclass(frozen=True)
class Split:
    """images (N, 3, H, W) uint8; labels (N, H, W) uint8, ``VOID`` where nothing is labelled."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Data:
    classes: Classes
    train: Split
    val: Split

    @property
    def counts(self) -> Tensor:
        """(L,) labelled training pixels of each class."""
        bins = sum(torch.bincount(labels.flatten(), minlength=VOID + 1) for labels in self.train.labels)
        assert isinstance(bins, Tensor)
        return bins[: len(self.classes.names)]

    @property
    def shares(self) -> Tensor:
        """(L,) shares of the labelled training pixels."""
        return self.counts / self.counts.sum()

    @property
    def tail(self) -> Tensor:
        """(L,) bool: the classes with less than ``TAIL_SHARE`` of the labelled training pixels."""
        return self.shares < TAIL_SHARE


def load(name: str, root: Path | None, size: tuple[int, int], seed: int) -> Data:
    """size: (height, width) that images and labels are resized to, or scenes drawn at."""
    if name == "scenes":
        return Data(SCENES, *(_draw(split, size, seed) for split in NUMBER_OF_SCENES))
    if root is None:
        raise ValueError(f"--data {name} needs --root, the folder of the data set")
    layout, classes = FOLDERS[name]
    # Every file is known to be there before the first is read, which can take minutes.
    pairs = {split: layout.pairs(root, split) for split in ("train", "val")}
    return Data(classes, *(_read(layout, split, pairs[split], size) for split in pairs))


def _draw(split: str, size: tuple[int, int], seed: int) -> Split:
    which, count = list(NUMBER_OF_SCENES).index(split), NUMBER_OF_SCENES[split]
    samples = (scene(np.random.default_rng((seed, which, number)), size) for number in range(count))
    return _stack(samples, f"drawing {split}", count, size)


def _read(layout: Layout, split: str, pairs: list[Pair], size: tuple[int, int]) -> Split:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        samples = pool.map(lambda pair: layout.read(pair, size), pairs)
        result = _stack(samples, f"reading {split}", len(pairs), size)
    if bool((result.labels == VOID).all()):
        raise ValueError(f"{pairs[0][1].parent}: found no labelled pixel in {split}, expected some")
    return result


def _stack(samples: Iterable[Sample], what: str, count: int, size: tuple[int, int]) -> Split:
    images = torch.empty(count, 3, *size, dtype=torch.uint8)
    labels = torch.empty(count, *size, dtype=torch.uint8)
    for number, (image, label) in enumerate(track(samples, what, count, disable=rank() > 0)):
        images[number] = torch.tensor(image).movedim(-1, 0)
        labels[number] = torch.tensor(label)
    return Split(images, labels)
