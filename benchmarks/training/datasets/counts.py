"""The labelled pixels of each class of a folder of labels, counted once and kept."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track
from torch import Tensor

from pat_triton import class_counts

from ..scenes.canvas import VOID
from .folders import Layout, Pair


def counted(layout: Layout, pairs: Sequence[Pair], classes: int, kept: Path, quiet: bool) -> Tensor:
    """(L,) of the training labels at their full size. kept: the folder of the file; of files that were changed since
    there is another."""
    shown = track(pairs, f"counting {layout.name}", len(pairs), disable=quiet)
    cache = kept / f"class_counts-{layout.name}-{key(sorted(layout.ids.items()), [label for _, label in pairs])}.json"
    try:
        return class_counts(map(layout.labels_of, shown), classes, VOID, cache=cache, progress=False)
    except ValueError as error:
        if "found no pixel" not in str(error):
            raise
        raise ValueError(f"{pairs[0][1].parent}: found no labelled pixel in train, expected some") from error


def key(meaning: object, files: Sequence[Path]) -> str:
    """Other files, other sizes, other times or another meaning of the labels: another key."""
    made = hashlib.sha256(repr(meaning).encode())
    for file in files:
        status = file.stat()
        made.update(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return made.hexdigest()[:16]
