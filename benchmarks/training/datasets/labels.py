"""What labels look like, and what they probably mean where they do not fit the classes.

Labels are single bytes; ``ids`` says of each which class it is, or ``VOID``.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..scenes.canvas import VOID
from .files import decode

SHOWN = 5  # names of classes that a line has
WHOLE = ("L", "P", "1", "I", "I;16", "I;16B", "I;16L")


def read_labels(file: Path, ids: Mapping[int, int], name: str, flexible: bool) -> Image.Image:
    """One byte a pixel, each of which is known. flexible: the command line can say what labels mean.

    The orientation of the file is not looked at: labels are drawn by programs, which store them upright.
    """
    labels, _ = decode(file)
    if labels.mode not in WHOLE:
        raise ValueError(
            f"{file}: found pixels of mode {labels.mode}, expected labels of one byte a pixel, the class "
            "index; is this the image, or a picture of the labels in colours?"
        )
    values = np.asarray(labels)
    unknown = [label for label in np.unique(values).tolist() if int(label) not in ids]
    if unknown:
        listed = ", ".join(str(int(label)) for label in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
        meant = _meant({int(label) for label in np.unique(values)}, file, ids, flexible)
        raise ValueError(f"{file}: found the label ids {listed}, expected those of {name}: {_range(ids)}{meant}")
    return labels if labels.mode in ("L", "P") else Image.fromarray(values.astype(np.uint8))


def classes_of(labels: Image.Image, ids: Mapping[int, int]) -> np.ndarray:
    known = np.full(256, VOID, np.uint8)
    known[list(ids)] = list(ids.values())
    return known[np.asarray(labels)]


def doubts(pixels: Sequence[int], ids: Mapping[int, int], names: Sequence[str], flexible: bool) -> list[str]:
    """Warnings about the training labels. pixels: of each byte."""
    seen = {label for label, count in enumerate(pixels) if count}
    present = {ids[label] for label in seen} - {VOID}
    absent = [name for number, name in enumerate(names) if number not in present]
    found = []
    if absent:
        listed = ", ".join(absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
        found.append(f"{len(absent)} of the {len(names)} classes have no pixel in the training labels: {listed}")
    if len(present) == 1 and len(names) > 1:
        (only,) = present
        void = sorted(label for label in seen if ids[label] == VOID)
        rest = f", and all else is ignored (the labels {_listed(void)})" if void else ""
        found.append(
            f"all labelled pixels are of one class, {names[only]}{rest}: a network that predicts it everywhere is right"
        )
    shifted = _shifted(seen, ids, flexible)
    if shifted:
        found.append(f"found the labels {_listed(seen)}{shifted}")
    return found


def without_pixels(pixels: Sequence[int], ids: Mapping[int, int], flexible: bool) -> str:
    """What was found where no pixel is of a class."""
    seen = {label for label, count in enumerate(pixels) if count}
    return f"the labels {_listed(seen)}, which are all ignored{_shifted(seen, ids, flexible)}"


def _shifted(seen: Collection[int], ids: Mapping[int, int], flexible: bool) -> str:
    """What labels that are all known probably mean instead."""
    classes = sorted(label for label, number in ids.items() if number != VOID)
    option = " --labels-from {}" if flexible else ""
    if set(seen) <= {0, 255} and 255 in seen:
        return "; is this a mask of 0 and 255? Expected class indices: write 1 instead of 255"
    # 0 is taken as void, the last class is not there, and the one before it is, or just one is.
    present = set(seen) & set(classes)
    if (
        0 in seen
        and ids[0] == VOID
        and classes[0] == 1
        and classes[-1] not in seen
        and (classes[-2] in seen or len(present) < 2)
    ):
        option = option.format(0)
        return f", of which 0 is ignored, and not {classes[-1]}; do they count from 0, and 0 is a class?{option}"
    if ids.get(0) == 0 and 0 not in seen and {1, 2} <= present:
        return f", and not 0; do they count from 1?{option.format(1)}"
    # Cityscapes' 19 train ids under the name of its 34 label ids.
    if len(ids) > len(classes) + 10 and set(seen) <= {*range(len(classes)), 255} and 0 in seen and len(seen) > 2:
        return f"; are these the classes 0 to {len(classes) - 1} themselves, as in files *_labelTrainIds.png?"
    return ""


def _meant(seen: Collection[int], file: Path, ids: Mapping[int, int], flexible: bool) -> str:
    """What labels of which some are not known probably mean."""
    classes = sorted(label for label, number in ids.items() if number != VOID)
    unknown = set(seen) - set(ids)
    if set(seen) == {0, 255}:
        return "; is this a mask of 0 and 255? Write 1 instead of 255"
    if file.suffix.lower() in (".jpg", ".jpeg"):
        return "; JPEG changes labels, expected a file without loss such as PNG"
    if unknown == {255}:
        return "; is 255 void?" + (" --ignore 255" if flexible else "")
    if unknown == {classes[-1] + 1} and ids.get(0) == 0:
        says = f" --labels-from 1; otherwise --classes {len(classes) + 1}" if flexible else ""
        return f"; do they count from 1?{says}"
    if unknown == {0}:
        return "; do they count from 0?"
    return ""


def _listed(labels: Collection[int]) -> str:
    """Rows of numbers as 3 to 7."""
    rows: list[list[int]] = []
    for label in sorted(labels):
        if rows and rows[-1][-1] == label - 1:
            rows[-1].append(label)
        else:
            rows.append([label])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows)


def _range(ids: Mapping[int, int]) -> str:
    return _listed(ids).replace(", 255", " and 255")
