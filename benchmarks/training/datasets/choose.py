"""The data set that the command line asks for: a known one, or any folder, with what its labels mean."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..scenes.canvas import VOID
from .catalogue import SETS, DataSet, coloured, published
from .layout import Anywhere, Layout

# What --labels-from and --ignore are unless given, where they can be given: ADE20K's 0 is void.
MEANINGS: Mapping[str, tuple[int, tuple[int, ...]]] = {"folder": (0, (VOID,)), "ade20k": (1, ())}


def chosen(
    name: str,
    root: Path | None,
    classes: int | None,
    labels_from: int | None = None,
    ignore: Sequence[int] | None = None,
) -> DataSet:
    """The data set of that name; the others as on the command line, of a folder whose labels may mean anything."""
    if name not in MEANINGS:
        for option, value in (("--labels-from", labels_from), ("--ignore", ignore)):
            if value is not None:
                raise ValueError(
                    f"{option}: got {_shown(value)}, expected none: what the labels of {name} mean is known; "
                    "--data folder has labels of your own"
                )
        return published(name, root, classes)
    if name == "folder" and classes is None:
        raise ValueError("--data folder needs --classes N, the number of classes without those that are ignored")
    start, ignored = MEANINGS[name]
    start = start if labels_from is None else labels_from
    found = published("ade20k", root if name == "ade20k" else None, classes)
    assert found.layout is not None
    ids = meaning(len(found.classes.names), start, ignored if ignore is None else ignore)
    if name == "folder":
        layout: Layout = Anywhere(name, "", "", (), "", ids, complete=False, flexible=True)
    else:
        layout = dataclasses.replace(found.layout, ids=ids)
    numbered = name == "folder" or start == 0
    made = coloured(tuple(f"class {i + start}" for i in range(len(found.classes.names)))) if numbered else found.classes
    return DataSet(made, layout, SETS[name].size, SETS[name].steps, SETS[name].batch)


def meaning(classes: int, start: int, ignored: Sequence[int]) -> dict[int, int]:
    """label -> class or ``VOID``. start: the label of the first class; what is before it is void."""
    last = start + classes - 1
    for label in ignored:
        if start <= label <= last:
            meant = " If labels count from 1 and 0 is void: --labels-from 1" if label == start == 0 else ""
            raise ValueError(
                f"--ignore: got {label}, which is one of the {classes} classes {start} to {last} (--classes, "
                f"--labels-from), expected a label that is none.{meant}"
            )
        if label > 255:
            raise ValueError(f"--ignore: got {label}, expected 0 to 255: labels are single bytes")
    return {**dict.fromkeys((*range(start), *ignored), VOID), **{start + i: i for i in range(classes)}}


def _shown(value: int | Sequence[int]) -> str:
    return str(value) if isinstance(value, int) else " ".join(map(str, value))
