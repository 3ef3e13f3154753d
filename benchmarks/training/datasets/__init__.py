"""Data sets at a working size: drawn, or read from files as people have them: endings in any case, turned photographs,
labels that may mean something else.

What is used and what is left out is said, and so is what looks like a mistake.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import track
from torch import Tensor

from pat_triton import class_counts

from ..parallel import rank
from ..scenes import scene
from ..scenes.canvas import VOID
from .catalogue import Classes
from .choose import chosen
from .counts import of_classes, pixels_of
from .labels import doubts, without_pixels
from .layout import Layout
from .pairing import Pair
from .splits import Held, Read, Sample, Split

NUMBER_OF_SCENES = {"train": 400, "val": 60}
TAIL_SHARE = 0.02
Tell = Callable[[str], None]
MEMORY = 4 << 30  # bytes of images and labels of a split that are kept; more are read each time


@dataclass(frozen=True)
class Data:
    """test: what is judged at the end, of a data set that has one; otherwise val is.
    counts (L,): labelled training pixels of each class."""

    classes: Classes
    train: Split
    val: Split
    test: Split | None
    counts: Tensor

    @property
    def shares(self) -> Tensor:
        """(L,) shares of the labelled training pixels."""
        return self.counts / self.counts.sum()

    @property
    def tail(self) -> Tensor:
        """(L,) bool: the classes with less than ``TAIL_SHARE`` of the labelled training pixels."""
        return self.shares < TAIL_SHARE

    def summary(self) -> dict[str, list[int]]:
        """Images of train, val and test, and training pixels of each class: other data have others."""
        sizes = [len(split) if split else 0 for split in (self.train, self.val, self.test)]
        return {"images": sizes, "pixels": self.counts.tolist()}

    @property
    def judged(self) -> Split:
        return self.val if self.test is None else self.test


def load(
    name: str,
    root: Path | None,
    size: tuple[int, int],
    seed: int,
    *,
    classes: int | None = None,
    labels_from: int | None = None,
    ignore: Sequence[int] | None = None,
    kept: Path = Path("runs"),
    quiet: bool = False,
    say: Tell = lambda line: None,
    warn: Tell = lambda line: None,
) -> Data:
    """size: (height, width) that images and labels are resized to, or scenes drawn at. classes, labels_from, ignore: as
    on the command line. kept: the folder of the counts. quiet: without progress bars. say: takes a line about the files
    of a split, before one is read. warn: takes one about the labels, after."""
    found = chosen(name, root, classes, labels_from, ignore)
    layout, L, quiet = found.layout, len(found.classes.names), quiet or rank() > 0
    if layout is None:
        train, val = (_drawn(split, size, seed, quiet) for split in NUMBER_OF_SCENES)
        return Data(found.classes, train, val, None, class_counts(train.labels, L, VOID, progress=False))
    if root is None:
        raise ValueError(f"--data {name} needs --root, the folder of the data set")
    # Every file is known to be there before the first is read, which can take minutes.
    pairs: dict[str, list[Pair]] = {}
    for split in layout.splits:
        if split != "test" or layout.has(root, split):
            folder, pairing = layout.find(root, split)
            pairs[split] = pairing.pairs
            say(pairing.line(split, folder))
    splits = {split: _read(layout, split, pairs[split], size, quiet) for split in pairs}
    ids = layout.ids_of(pairs["train"][0][1])
    pixels = pixels_of(layout, pairs["train"], kept, quiet)
    counts = of_classes(pixels, ids, L)
    if not counts.any():
        what = without_pixels(pixels, ids, layout.flexible)
        raise ValueError(f"{pairs['train'][0][1].parent}: found no labelled pixel in train, expected some: {what}")
    for doubt in doubts(pixels, ids, found.classes.names, layout.flexible):
        warn(f"{name}: {doubt}")
    return Data(found.classes, splits["train"], splits["val"], splits.get("test"), counts)


def _drawn(split: str, size: tuple[int, int], seed: int, quiet: bool) -> Held:
    which, number = list(NUMBER_OF_SCENES).index(split), NUMBER_OF_SCENES[split]
    samples = (scene(np.random.default_rng((seed, which, i)), size) for i in range(number))
    return _held(samples, f"drawing {split}", number, size, quiet)


def _read(layout: Layout, split: str, pairs: list[Pair], size: tuple[int, int], quiet: bool) -> Split:
    if len(pairs) * size[0] * size[1] * 4 > MEMORY:
        return Read(lambda number: layout.read(pairs[number], size), len(pairs), size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        samples = pool.map(partial(layout.read, size=size), pairs)
        return _held(samples, f"reading {split}", len(pairs), size, quiet)


def _held(samples: Iterable[Sample], what: str, count: int, size: tuple[int, int], quiet: bool) -> Held:
    images = np.empty((count, *size, 3), np.uint8)
    labels = np.empty((count, *size), np.uint8)
    for number, sample in enumerate(track(samples, what, count, disable=quiet)):
        images[number], labels[number] = sample
    return Held(images, labels)


__all__ = ["TAIL_SHARE", "VOID", "Data", "Held", "Split", "load"]
