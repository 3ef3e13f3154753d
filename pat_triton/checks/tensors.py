"""Tensors of a call against each other: kinds, shapes, dtypes and devices, but nothing that they hold."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .scalars import Default, head_weight, ignore_index, index, labels_of, short, without_gradient

LOGITS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LABELS = (torch.uint8, torch.int16, torch.int32, torch.int64)


def dtype_names(dtypes: Iterable[torch.dtype]) -> str:
    *most, last = (str(d).removeprefix("torch.") for d in dtypes)
    return f"{', '.join(most)} or {last}"


def dtype_name(t: Tensor) -> str:
    return str(t.dtype).removeprefix("torch.")


def tensor(argument: str, value: Any) -> None:
    """A torch.Tensor with a place in memory for every element."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{argument}: expected a torch.Tensor, got {type(value).__name__}{entry(value)}")
    if value.is_nested:
        raise TypeError(
            f"{argument}: expected a dense tensor, got a nested one; .to_padded_tensor(padding) makes it dense"
        )
    if value.layout != torch.strided:
        layout = str(value.layout).removeprefix("torch.").lstrip("_")
        raise TypeError(f"{argument}: expected a dense tensor, got {layout}; .to_dense() makes it dense")


def entry(value: Any) -> str:
    """The likely mistake where something around a tensor came."""
    if hasattr(value, "__array__"):
        return "; convert it with torch.as_tensor"
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return "; pass one of the tensors in it" if any(isinstance(v, Tensor) for v in inside) else ""


def logits(z: Any) -> None:
    tensor("logits", z)
    if z.dtype not in LOGITS:
        likely = "; are these the labels?" if z.dtype in LABELS else ""
        raise TypeError(f"logits: expected {dtype_names(LOGITS)}, got {dtype_name(z)}{likely}")
    if not 3 <= z.ndim <= 5:
        likely = (
            "are the pixels flattened to (pixels, classes)? Pass logits.T[None] and target[None]"
            if z.ndim < 3
            else "are there two batch dimensions? Pass logits.flatten(0, 1) and target.flatten(0, 1)"
        )
        raise ValueError(
            "logits: expected shape (batch, classes, height, width), or one or three dimensions in place of height and "
            f"width, got shape {tuple(z.shape)}; {likely}"
        )
    if z.shape[1] < 2:
        raise ValueError(
            f"logits: expected at least 2 classes in dimension 1, got shape {tuple(z.shape)}; a binary task takes two "
            "channels, one for the background and one for the foreground, and labels 0 and 1"
        )


def target(y: Any, z: Tensor) -> Tensor:
    """The target as (B, *spatial), a view; ``z`` are checked logits, which may be of another 2-D size."""
    tensor("target", y)
    if y.ndim == z.ndim and y.shape[:2] == z.shape[:2]:
        raise ValueError(
            f"target: expected class indices, got shape {tuple(y.shape)}, a channel for each class; "
            "a one-hot target becomes indices by target.argmax(1)"
        )
    if y.dtype not in LABELS:
        raise TypeError(
            f"target: expected {dtype_names(LABELS)} class indices, got {dtype_name(y)}; "
            "a map of whole numbers becomes indices by target.long()"
        )
    if y.ndim == z.ndim and y.shape[1] == 1:
        y = y.squeeze(1)
    expected, got = (z.shape[0], *z.shape[2:]), tuple(y.shape)
    if got != expected and (wrong := _mismatch(got, tuple(z.shape))) is not None:
        pixels = "height, width" if z.ndim == 4 else ", ".join(map(str, z.shape[2:]))
        raise ValueError(
            f"target: expected shape ({len(z)}, {pixels}) or ({len(z)}, 1, {pixels}) for logits of shape "
            f"{tuple(z.shape)}, got {got}{wrong}"
        )
    if y.device != z.device:
        raise elsewhere("target", y, z, "logits")
    return y


def pixel_weight(w: Any, y: Tensor) -> Tensor | None:
    """The factors as (B, *spatial), a view; ``y`` is the checked target."""
    if w is None:
        return None
    tensor("pixel_weight", w)
    if w.dtype not in LOGITS:
        raise TypeError(f"pixel_weight: expected {dtype_names(LOGITS)}, got {dtype_name(w)}; convert it with .float()")
    without_gradient("pixel_weight", w)
    if w.ndim == y.ndim + 1 and w.shape[1] == 1:
        w = w.squeeze(1)
    if w.shape != y.shape:
        raise ValueError(
            f"pixel_weight: expected shape {tuple(y.shape)}, that of the target, got {tuple(w.shape)}; "
            "class weights go to the constructor's weight="
        )
    if w.device != y.device:
        raise elsewhere("pixel_weight", w, y, "target")
    return w


def elsewhere(argument: str, given: Tensor, like: Tensor, name: str) -> ValueError:
    """The error for a tensor that is on another device than the tensor of that name."""
    return ValueError(
        f"{argument}: expected a tensor on {like.device}, like the {name}, got one on {given.device}; "
        f"pass {argument}.to({name}.device)"
    )


def _mismatch(got: tuple[int, ...], logits: tuple[int, ...]) -> str | None:
    """What is wrong with a target's shape; None if the logits can be resized to it."""
    expected = (logits[0], *logits[2:])
    if got == logits[1:]:
        return "; is the batch dimension missing? Pass logits[None] and target[None]"
    if got == expected[1:]:
        return "; is the batch dimension missing? Pass target[None]"
    if len(got) != len(expected):
        return "; is the last dimension one channel? Pass target.squeeze(-1)" if got == (*expected, 1) else ""
    if got[0] != expected[0]:
        return f"; the target has {got[0]} images, the logits have {expected[0]}"
    if len(got) != 3:
        return "; only logits of shape (batch, classes, height, width) are resized to the target's size"
    if 0 in expected[1:]:
        return "; logits without a pixel cannot be resized"
    if got[1:] == expected[:0:-1]:
        return "; is the target transposed? Pass target.mT"
    if got == logits[:-1] and got[1] * logits[3] != got[2] * logits[2]:
        return "; are the classes the last dimension? Pass logits.movedim(-1, 1)"
    return None


def sizes(value: Any, z: Tensor) -> torch.Size | list[torch.Size]:
    """One for all images, or a list of one for each."""
    if not isinstance(value, list | tuple) or not any(isinstance(v, list | tuple) for v in value):
        return size(value, z)
    if len(value) != len(z):
        raise ValueError(
            f"size: expected one (height, width), or a list of {len(z)}, one for each image of logits of shape "
            f"{tuple(z.shape)}, got a list of {len(value)}"
        )
    return [size(v, z) for v in value]


def size(value: Any, z: Tensor) -> torch.Size:
    """(H, W), or the spatial size of other checked logits, which are not resized."""
    spatial = tuple(z.shape[2:])
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != len(spatial):
        pixels = "(height, width) such as target.shape[-2:]"
        what = pixels if len(spatial) == 2 else f"{spatial}, the size of the logits"
        raise TypeError(f"size: expected {what}, got {value!r}")
    wanted = tuple(index("size", v) for v in value)
    if wanted != spatial:
        if len(spatial) != 2:
            raise ValueError(
                f"size: expected {spatial}, got {wanted}; only logits of shape (batch, classes, height, width) are "
                "resized"
            )
        if min(wanted) < 1:
            raise ValueError(f"size: expected a height and a width above 0, got {wanted}")
        if 0 in spatial:
            raise ValueError(
                f"size: got {wanted} for logits of shape {tuple(z.shape)}; logits without a pixel cannot be resized"
            )
    return torch.Size(wanted)


def classes(num_classes: Any, z: Tensor) -> int:
    if index("num_classes", num_classes) != z.shape[1]:
        raise ValueError(
            f"num_classes: expected {z.shape[1]}, one for each channel of logits of shape {tuple(z.shape)}, "
            f"got {num_classes}"
        )
    return int(num_classes)


def confusion(argument: str, matrix: Any) -> Tensor:
    if not isinstance(matrix, Tensor):
        raise TypeError(
            f"{argument}: expected a confusion matrix or Statistics, got {type(matrix).__name__}{entry(matrix)}"
        )
    tensor(argument, matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"{argument}: expected a confusion matrix of shape (classes, classes), got shape {tuple(matrix.shape)}"
        )
    return matrix


def ignored(labels: tuple[int, ...], said: bool, classes: int) -> None:
    """A default that nobody said may be no class."""
    if not said and 0 <= labels[0] < classes:
        raise ValueError(
            f"ignore_index: {labels[0]}, its default, is one of the {classes} classes; pass ignore_index={labels[0]} "
            "to ignore that class, or ignore_index=-1 to ignore nothing"
        )


def labels_to_ignore(value: Any, classes: int) -> tuple[int, ...]:
    """An ``ignore_index`` beside so many classes."""
    said = ignore_index("ignore_index", value)
    ignored(labels_of(said), not isinstance(said, Default), classes)
    return labels_of(said)


def heads(logits: Any, weights: Any) -> tuple[list[Any], list[float]]:
    """Logits, one or several of one batch, and a weight for each."""
    if weights is None and logits.__class__ is Tensor:  # the usual case, without a look at the others
        return [logits], [1.0]
    if not isinstance(logits, list | tuple):
        if weights is not None:
            weights_of_heads(logits, weights)
        return [logits], [1.0]
    if not logits:
        raise ValueError("logits: got an empty list, expected a tensor or a list of tensors")
    if weights is None:
        return list(logits), [1.0] * len(logits)
    weights_of_heads(logits, weights)
    return list(logits), [head_weight("weights", w) for w in weights]


def weights_of_heads(logits: Any, weights: Any) -> None:
    """A number for each of a list."""
    if not isinstance(logits, list | tuple):
        raise TypeError(
            "weights: got some for a single tensor of logits, expected none: they are the factors of several logits in "
            "a list; class weights go to the constructor's weight="
        )
    several = isinstance(weights, list | tuple) or getattr(weights, "ndim", None) == 1
    if not several or len(weights) != len(logits):
        raise ValueError(
            f"weights: expected a list of {len(logits)} numbers, one for each tensor in the list of logits, got "
            f"{short(weights)}; class weights go to the constructor's weight="
        )


def alike(number: int, head: Tensor, first: Tensor) -> None:
    """Auxiliary logits, checked by themselves, against the first of their list."""
    for dimension, what in enumerate(("images", "classes")):
        if head.shape[dimension] != first.shape[dimension]:
            raise ValueError(
                f"logits: expected as many {what} in each tensor of the list as in the first, "
                f"{first.shape[dimension]}, got {head.shape[dimension]} in logits[{number}]"
            )
