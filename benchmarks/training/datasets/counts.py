"""How many pixels each byte, and each class, has in the training labels: counted once and kept."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from pat_triton import class_counts

from ..scenes.canvas import VOID
from .layout import Layout
from .pairing import Pair


def pixels_of(layout: Layout, pairs: Sequence[Pair], kept: Path, quiet: bool) -> list[int]:
    """Of each byte in the training labels, at their full size: counted once and kept. Of files that were changed since
    there is another file."""
    shown = track(pairs, f"counting {layout.name}", len(pairs), disable=quiet)
    labels = [label for _, label in pairs]
    meaning = 256, sorted(layout.ids_of(labels[0]).items())
    cache = kept / f"class_counts-{layout.name}-{key(meaning, labels)}.json"
    return class_counts(map(layout.bytes_of, shown), 256, -1, cache=cache, progress=False).tolist()


def of_classes(pixels: Sequence[int], ids: Mapping[int, int], classes: int) -> Tensor:
    """(L,) labelled pixels, of those of each byte."""
    counts = torch.zeros(classes, dtype=torch.int64)
    for label, number in ids.items():
        if number != VOID:
            counts[number] += pixels[label]
    return counts


def key(meaning: object, files: Sequence[Path]) -> str:
    """Other files, other sizes, other times or another meaning of the labels: another key."""
    made = hashlib.sha256(repr(meaning).encode())
    for file in files:
        status = file.stat()
        made.update(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return made.hexdigest()[:16]
