"""What region losses and sums of losses are given."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from .scalars import as_written, index, labels_of, short

if TYPE_CHECKING:
    from ..criterion import SegmentationLoss
    from ..regions import Region

T = TypeVar("T")

SHARED = ("ignore_index", "reduction", "align_corners", "backend", "validate", "process_group", "sharding")
IN_BACKWARD = (
    "gradient: got 'one_pass', expected 'auto' or 'recompute': the gradient of a region loss, such as DiceLoss, needs "
    "sums over all pixels first, so that backward computes it"
)
NO_MAP = (
    "reduction: got 'none', expected 'mean' or 'sum': a region loss, such as DiceLoss, is one of sums over pixels, and "
    "has no term of each pixel"
)


def region_option(name: str, value: Any) -> None:
    """ValueError for what a region loss cannot do."""
    if name == "gradient" and isinstance(value, str) and value == "one_pass":
        raise ValueError(IN_BACKWARD)
    if name == "reduction" and isinstance(value, str) and value == "none":
        raise ValueError(NO_MAP)


def class_numbers(argument: str, value: Any) -> tuple[int, ...] | None:
    """None, or some classes, each once."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{argument}: expected None or a list of class numbers, got {short(value)}")
    numbers = tuple(index(argument, number) for number in value)
    if not numbers:
        raise ValueError(f"{argument}: got an empty list, expected some class numbers, or None for all classes")
    if min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise ValueError(f"{argument}: expected class numbers from 0, each once, got {short(list(numbers))}")
    return numbers


def regions(regions: Sequence["Region"], z: Tensor) -> None:
    """Region losses against the logits they are used with."""
    for region in regions:
        beyond = [number for number in region.classes or () if number >= z.shape[1]]
        if beyond:
            raise ValueError(
                f"classes: expected class numbers from 0 to {z.shape[1] - 1} for logits of shape {tuple(z.shape)}, got "
                f"{short(beyond)}"
            )


def criterion(argument: str, value: Any, kind: type[T]) -> T:
    """A loss of this package, or a sum of some."""
    if isinstance(value, kind):
        return value
    made = isinstance(value, type) and issubclass(value, kind)
    hint = f"; write {value.__name__}()" if made else ""
    got = value.__name__ if isinstance(value, type) else type(value).__name__
    raise TypeError(f"{argument}: expected a loss of pat_triton, such as PATLoss(), got {got}{hint}")


def addable(losses: Sequence["SegmentationLoss"]) -> None:
    """ValueError for losses, those with regions last, that are not made in one pass."""
    by_pixel = [type(loss).__name__ for loss in losses if not loss.has_regions]
    if len(by_pixel) > 1:
        raise ValueError(
            f"+: got {' and '.join(by_pixel)}, expected at most one loss with a term of each pixel, besides region "
            "losses such as DiceLoss; call each by itself and add up what they return"
        )
    if not losses:
        raise ValueError("terms: got none, expected a loss or more")
    agree(losses)
    if len(losses) > 1:
        for loss in losses:
            region_option("reduction", loss.reduction)
            region_option("gradient", loss.gradient)


def agree(losses: Sequence["SegmentationLoss"]) -> None:
    """ValueError for options of one call that differ."""
    first = losses[0]
    for other in losses[1:]:
        for name in SHARED:
            mine, its = getattr(first, name), getattr(other, name)
            if name == "ignore_index":
                mine, its = as_written(labels_of(mine)), as_written(labels_of(its))
            if mine != its:
                raise ValueError(
                    f"{name}: got {mine!r} in {type(first).__name__} and {its!r} in {type(other).__name__}, expected "
                    f"the same in all terms of a sum; assign it to the sum, criterion.{name} = ..., or to each term"
                )
