"""A number for each class, or for each image and class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .labels import checks_labels
from .scalars import short, without_gradient
from .tensors import LABELS, dtype_name, dtype_names, elsewhere, tensor


def vector(argument: str, values: Sequence[float] | Tensor | Any) -> Tensor:
    """A number for each class as they came, (L,); a list or an array as a tensor on the CPU, in float64."""
    listed = not isinstance(values, Tensor)
    if listed:
        for value in values if isinstance(values, list | tuple) else ():
            without_gradient(argument, value, "each tensor in the list")
    else:
        tensor(argument, values)
        without_gradient(argument, values)
    given: Any = values
    try:
        # Torch's default dtype would round a list, and its default device keep it elsewhere.
        if listed:
            given = torch.as_tensor(_plain(values), dtype=torch.float64, device="cpu")
        if given.is_complex():
            raise TypeError("complex numbers have no order")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{argument}: expected a list, array or tensor of numbers, got {short(values)}") from error
    if given.is_meta:
        raise ValueError(f"{argument}: expected numbers, got a tensor on the device meta, which has none")
    if given.ndim != 1:
        raise ValueError(f"{argument}: expected one number for each class, got shape {tuple(given.shape)}")
    if len(given) < 2:
        raise ValueError(f"{argument}: expected numbers for at least 2 classes, got {len(given)}")
    return given  # type: ignore[no-any-return]


def _plain(values: Any) -> Any:
    """An array of any strides and integers as a list."""
    return values.tolist() if hasattr(values, "tolist") else values


def read(argument: str, given: Tensor) -> Tensor:
    """In float64 on the CPU, for which a GPU is waited for once; ValueError for numbers that count nothing."""
    v = given.to("cpu").to(torch.float64)
    if not bool(torch.isfinite(v).all()):
        raise ValueError(f"{argument}: expected finite numbers, got {short(v.tolist())}")
    if bool((v < 0).any()):
        raise ValueError(f"{argument}: expected numbers of 0 or more, got {v.min().item():g}")
    return v


def weights(argument: str, values: Any, validate: bool = False) -> Tensor:
    """Class weights as a floating tensor keeps them, otherwise in torch's default dtype. On a GPU, unless they are
    ``validate``d, nothing waits for their numbers: wrong ones make all of them nan, and with them the loss."""
    given = vector(argument, values)
    floating = isinstance(values, Tensor) and values.is_floating_point()
    kept = given.to(values.dtype if floating else torch.get_default_dtype(), copy=True)
    if not checks_labels(given.device, validate):
        return kept.masked_fill(~(kept.isfinite() & (kept >= 0)).all() | ~kept.any(), torch.nan)
    v = read(argument, given)
    if not bool(kept.to("cpu").to(torch.float64).isfinite().all()):
        raise ValueError(f"{argument}: expected numbers that {dtype_name(kept)} holds, got {v.max().item():g}")
    if not bool(kept.any()):
        raise ValueError(f"{argument}: expected at least one weight above 0, got 0 for every class")
    return kept


def counts(argument: str, values: Any, validate: bool = False) -> Tensor:
    """Pixels per class as int64; refuses frequencies. They are always read, once, on a GPU too: of whole numbers none
    would make the loss nan."""
    given = vector(argument, values)
    v = read(argument, given)
    if bool(((v > 0) & (v < 1)).any()):
        raise ValueError(
            f"{argument}: expected numbers of pixels, got {short(v.tolist())}, which look like shares of the pixels; "
            "pat_triton.class_counts counts the pixels of a data set"
        )
    if bool((v != v.floor()).any()):
        raise ValueError(f"{argument}: expected whole numbers of pixels, got {short(v.tolist())}")
    if not bool(v.any()):
        raise ValueError(f"{argument}: expected at least one count above 0, got 0 for every class")
    if bool((v >= 2**63).any()):
        raise ValueError(f"{argument}: expected counts below 2 ** 63, got {v.max().item():g}")
    # Through the caller's own integers: float64 would round counts above 2 ** 53.
    exact = values if isinstance(values, Tensor) else torch.as_tensor(_plain(values), device="cpu")
    return (v if exact.is_floating_point() else exact).to(given.device, torch.int64, copy=True)


def per_class(argument: str, table: Tensor | None, z: Tensor) -> None:
    """An [L] buffer against the logits it is used with."""
    if table is None:
        return
    if len(table) != z.shape[1]:
        raise ValueError(
            f"{argument}: expected {z.shape[1]} numbers, one for each class of logits of shape "
            f"{tuple(z.shape)}, got {len(table)}"
        )
    if table.device != z.device:
        raise ValueError(
            f"{argument}: expected it on {z.device}, like the logits, got it on {table.device}; "
            "move the loss with criterion.to(logits.device)"
        )


def mask_sizes(sizes: Any, z: Tensor) -> None:
    if sizes is None:
        return
    if not isinstance(sizes, Tensor) or sizes.dtype not in LABELS:
        got = dtype_name(sizes) if isinstance(sizes, Tensor) else type(sizes).__name__
        raise TypeError(f"mask_sizes: expected a tensor of {dtype_names(LABELS)}, got {got}")
    if sizes.shape != z.shape[:2]:
        raise ValueError(
            f"mask_sizes: expected shape {tuple(z.shape[:2])}, a number for each image and class, "
            f"got {tuple(sizes.shape)}"
        )
    if sizes.device != z.device:
        raise elsewhere("mask_sizes", sizes, z, "logits")


def same_images(images: Tensor) -> None:
    """How many each process has of a batch whose rows are split."""
    if bool((images != images[0]).any()):
        raise ValueError(
            f"sharding: 'rows' expects rows of the same images on every process, got {images.tolist()} images"
        )


def large_enough(mask_sizes: Tensor, sizes: Tensor) -> None:
    """Given mask sizes against the pixels that there are, both (B, L)."""
    wrong = (mask_sizes < sizes).nonzero()
    if len(wrong):
        b, c = wrong[0].tolist()
        raise ValueError(
            f"mask_sizes: got {int(mask_sizes[b, c])} for class {c} in image {b}, expected at least "
            f"{int(sizes[b, c])}, the pixels of that class in the target; pass the numbers of pixels in the whole "
            "image, of which the target is a crop"
        )


def mask_sizes_unused(rule: Any) -> ValueError:
    """The error for mask sizes that were given to a rule which has no use for them."""
    return ValueError(
        f"mask_sizes: got some, expected none: {rule!r} does not use them; MaskSize(), as in PATLoss, does"
    )
