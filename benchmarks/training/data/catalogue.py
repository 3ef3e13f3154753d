"""The data sets that ``train`` reads: the known ones, and any folder."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..datasets import VOID
from ..datasets.catalogue import SETS as KNOWN
from ..datasets.catalogue import Classes, DataSet, coloured
from ..datasets.catalogue import chosen as known
from .layout import Anywhere, Published

# What --labels-from and --ignore are unless given, where they can be given: ADE20K's 0 is void.
MEANINGS: Mapping[str, tuple[int, tuple[int, ...]]] = {"folder": (0, (VOID,)), "ade20k": (1, ())}
SETS = {**KNOWN, "folder": DataSet(Classes((), ()), None, (512, 512), 40000, 8)}
# createTrainIdLabelImgs.py of cityscapesScripts writes the classes themselves.
PREFERRED = {"cityscapes": {"_gtFine_labelTrainIds": {**{i: i for i in range(19)}, VOID: VOID}}}


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
        found = known(name, root, classes)
        if found.layout is None:
            return found
        layout = Published.of(found.layout, preferred=PREFERRED.get(name, {}))
        return dataclasses.replace(found, layout=layout)
    if name == "folder" and classes is None:
        raise ValueError("--data folder needs --classes N, the number of classes without those that are ignored")
    start, ignored = MEANINGS[name]
    start = start if labels_from is None else labels_from
    found = known("ade20k", root if name == "ade20k" else None, classes)
    assert found.layout is not None
    ids = meaning(len(found.classes.names), start, ignored if ignore is None else ignore)
    if name == "folder":
        layout = Anywhere.of(found.layout, name=name, ids=ids, splits=SPLITS, complete=False, flexible=True)
    else:
        layout = Published.of(found.layout, ids=ids, complete=False, flexible=True)
    numbered = name == "folder" or start == 0
    made = coloured(tuple(f"class {i + start}" for i in range(len(found.classes.names)))) if numbered else found.classes
    return DataSet(made, layout, SETS[name].size, SETS[name].steps, SETS[name].batch)


SPLITS = {"train": "train", "val": "val", "test": "test"}


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
