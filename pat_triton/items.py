"""Labels in the items of a data set: which items it has, where in one the labels are, and what is no map of labels."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from . import checks, private

KEYS = ("labels", "label", "mask", "masks", "target", "segmentation", "gt_sem_seg", "semantic")
TAKE = "pass a function that takes the labels out of an item, such as labels=lambda item: item[{}]"
COLOURS = (3, 4)  # channels of a picture


def items_of(data: Any) -> tuple[Iterable[Any], int | None]:
    """The items, and how many there are, if that is known."""
    if isinstance(data, Mapping):
        raise TypeError(
            f"data: got a {type(data).__name__} with the keys {sorted(map(str, data))}, expected one data set or "
            "loader; pass one of its values"
        )
    kind = f"the class {data.__name__}" if isinstance(data, type) else type(data).__name__
    if isinstance(data, str | bytes | os.PathLike | type) or getattr(data, "ndim", None) == 0:
        raise TypeError(f"data: expected a data set or a loader, got {kind}")
    if hasattr(data, "__iter__"):
        return data, _length(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        # Torch asks no more of a data set, not an IndexError at its end, by which Python would know it.
        return _in_turn(data), len(data)
    raise TypeError(
        f"data: expected a data set or a loader, got {kind}, which has neither __iter__ nor __len__ and __getitem__"
    )


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except (TypeError, NotImplementedError):  # of a generator, or of an iterable data set behind a loader
        return None


def _in_turn(data: Any) -> Iterator[Any]:
    for number in range(len(data)):
        yield data[number]


def labels_in(item: Any, number: int) -> tuple[Any, tuple[int, ...] | None]:
    """The labels of an item, and the shape of the image beside them, if it has one."""
    if isinstance(item, Mapping):
        known = [key for key in KEYS if key in item]
        if len(known) != 1:
            raise ValueError(
                f"data: got an item with the keys {sorted(map(str, item))}, expected exactly one of {', '.join(KEYS)}; "
                f"{TAKE.format(repr((known or list(item) or ['KEY'])[0]))} (item {number})"
            )
        return item[known[0]], _shape_of_one(value for key, value in item.items() if key != known[0])
    if isinstance(item, tuple | list):
        if len(item) < 2:
            raise ValueError(
                f"data: got an item of length {len(item)}, expected (image, labels, ...); {TAKE.format(0)} "
                f"(item {number})"
            )
        return item[1], _shape_of_one(item[:1])
    return item, None


def _shape_of_one(values: Iterable[Any]) -> tuple[int, ...] | None:
    """Of the first tensor or array of several dimensions."""
    shapes = (tuple(getattr(value, "shape", ())) for value in values)
    return next((shape for shape in shapes if len(shape) > 1), None)


def label_map(y: Any, number: int, image: tuple[int, ...] | None, classes: int) -> Tensor:
    """A number for each pixel, (1, n) on the CPU."""
    if not isinstance(y, Tensor) and not hasattr(y, "__array__") and not hasattr(y, "__array_interface__"):
        raise TypeError(
            f"data: expected labels in a tensor, an array or an image, got {type(y).__name__} in item {number}; "
            "pass a function that gives them for an item, labels=function"
        )
    if hasattr(y, "getbands") and len(y.getbands()) > 1:
        raise ValueError(
            f"data: got a picture of mode {y.mode} in item {number}, expected one of a single channel, the class "
            "index of each pixel; is this the image, or a picture of the labels in colours?"
        )
    t = private.plain(y) if isinstance(y, Tensor) else torch.as_tensor(_array(y), device="cpu")
    checks.tensor("data", t)
    if t.is_meta:
        raise ValueError(f"data: got a tensor on the device meta in item {number}, which holds no labels")
    if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool:
        kind = str(t.dtype).removeprefix("torch.")
        likely = "write 0 for False and 1 for True" if t.dtype == torch.bool else "is this the image?"
        raise TypeError(f"data: expected whole numbers as labels, got {kind} in item {number}; {likely}")
    t = t.detach().cpu()
    _refuse_channels(t, number, image, classes, from_reader=not isinstance(y, Tensor))
    return t.reshape(1, -1)


def _array(y: Any) -> Any:
    import numpy as np  # which whoever has arrays or images has

    return np.array(y)


def _refuse_channels(t: Tensor, number: int, image: tuple[int, ...] | None, classes: int, from_reader: bool) -> None:
    """ValueError for several channels, each of which would be counted. from_reader: it was an array or a picture, whose
    channels are the last dimension."""
    axes = (-3, -1)  # of (H, W, C), (C, H, W), (B, C, H, W)
    if t.ndim < 3 or t.numel() == 0 or 1 in (t.shape[axis] for axis in axes):
        return
    if image is not None and len(image) > t.ndim:  # beside maps of a batch, or of a volume
        return
    for axis in axes:
        channels = t.shape[axis]
        if channels in COLOURS and (
            (image is not None and _without_channels(t.shape, axis) in [_without_channels(image, a) for a in axes])
            or (from_reader and axis == -1)
            or _are_grey(t.movedim(axis, 0))
        ):
            likely = "is this the image, or a picture of the labels in colours?"
        elif channels == classes > 1 and _is_one_hot(t, axis):
            likely = "one-hot labels become class indices by .argmax over their channels"
        else:
            continue
        raise ValueError(
            f"data: got labels of shape {tuple(t.shape)}, {channels} channels, in item {number}, expected the class "
            f"index of each pixel, (height, width); {likely}"
        )


def _without_channels(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    kept = list(shape)
    del kept[axis]
    return tuple(kept)


def _are_grey(channels: Tensor) -> bool:
    """Whether they are the same, as a map of labels saved as a picture is."""
    first = channels[0]
    return bool((first != first.flatten()[:1].view(-1, *[1] * (first.ndim - 1))).any()) and bool(
        (channels[1:3] == first).all()
    )


def _is_one_hot(t: Tensor, axis: int) -> bool:
    return bool(((t == 0) | (t == 1)).all()) and bool((t.sum(axis) == 1).all())
