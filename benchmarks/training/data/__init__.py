"""Data sets of files as people have them: endings in any case, turned photographs, labels that may mean something else.

What is used and what is left out is said, and so is what looks like a mistake.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from pat_triton import class_counts

from .. import datasets
from ..datasets import VOID, Data
from ..datasets.counts import key
from ..datasets.folders import Pair
from ..parallel import rank
from .catalogue import SETS, chosen
from .labels import doubts, without_pixels
from .layout import Published

Tell = Callable[[str], None]


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
    """size: (height, width) that images and labels are resized to. classes, labels_from, ignore: as on the command
    line. kept: the folder of the counts. quiet: without progress bars. say: takes a line about the files of a split,
    before one is read. warn: takes one about the labels, after."""
    found = chosen(name, root, classes, labels_from, ignore)
    if found.layout is None:
        return datasets.load(name, root, size, seed, kept=kept, quiet=quiet)
    if root is None:
        raise ValueError(f"--data {name} needs --root, the folder of the data set")
    quiet = quiet or rank() > 0
    layout = found.layout
    assert isinstance(layout, Published)
    # Every file is known to be there before the first is read, which can take minutes.
    pairs: dict[str, list[Pair]] = {}
    for split in layout.splits:
        if split != "test" or layout.has(root, split):
            folder, pairing = layout.find(root, split)
            pairs[split] = pairing.pairs
            say(pairing.line(split, folder))
    splits = {split: datasets.read_split(layout, split, pairs[split], size, quiet) for split in pairs}
    ids = layout.ids_of(pairs["train"][0][1])
    pixels = _pixels(layout, pairs["train"], kept, quiet)
    counts = _of_classes(pixels, ids, len(found.classes.names))
    if not counts.any():
        what = without_pixels(pixels, ids, layout.flexible)
        raise ValueError(f"{pairs['train'][0][1].parent}: found no labelled pixel in train, expected some: {what}")
    for doubt in doubts(pixels, ids, found.classes.names, layout.flexible):
        warn(f"{name}: {doubt}")
    return Data(found.classes, splits["train"], splits["val"], splits.get("test"), counts)


def _pixels(layout: Published, pairs: Sequence[Pair], kept: Path, quiet: bool) -> list[int]:
    """Of each byte in the training labels, at their full size: counted once and kept. Of files that were changed since
    there is another file."""
    shown = track(pairs, f"counting {layout.name}", len(pairs), disable=quiet)
    labels = [label for _, label in pairs]
    meaning = 256, sorted(layout.ids_of(labels[0]).items())
    cache = kept / f"class_counts-{layout.name}-{key(meaning, labels)}.json"
    return class_counts(map(layout.bytes_of, shown), 256, -1, cache=cache, progress=False).tolist()


def _of_classes(pixels: Sequence[int], ids: Mapping[int, int], classes: int) -> Tensor:
    counts = torch.zeros(classes, dtype=torch.int64)
    for label, number in ids.items():
        if number != VOID:
            counts[number] += pixels[label]
    return counts


__all__ = ["SETS", "chosen", "load"]
