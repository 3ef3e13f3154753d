"""The labelled pixels of each class, counted once for a folder of labels and kept in a file."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from ..parallel import rank
from ..scenes.canvas import VOID
from .folders import Layout, Pair

NAME = "class_counts.json"


def count(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels.reshape(-1), minlength=VOID + 1)[:classes]


def counted(layout: Layout, pairs: Sequence[Pair], classes: int, kept: Path, quiet: bool) -> list[int]:
    """Of the training labels at their full size. kept: the folder of the file, in which files that were changed
    since are counted anew."""
    file, key = kept / NAME, _key(layout, [label for _, label in pairs])
    known = _known(file)
    if key not in known:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            each = pool.map(lambda pair: count(layout.labels_of(pair), classes), pairs)
            shown = track(each, f"counting {layout.name}", len(pairs), disable=quiet)
            known[key] = np.sum(list(shown), 0).tolist()
        if rank() == 0:
            _keep(file, known)
    return known[key]


def _key(layout: Layout, files: Sequence[Path]) -> str:
    """Other files, other sizes, other times or other ids: another key."""
    made = hashlib.sha256(repr(sorted(layout.ids.items())).encode())
    for file in files:
        status = file.stat()
        made.update(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return f"{layout.name} {made.hexdigest()}"


def _known(file: Path) -> dict[str, list[int]]:
    try:
        known = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{file}: found no JSON ({error}), expected the counts kept there; remove it") from error
    return known


def _keep(file: Path, known: dict[str, list[int]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".tmp")
    partial.write_text(json.dumps(known, indent=1) + "\n")
    os.replace(partial, file)
