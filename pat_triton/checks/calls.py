"""The arguments of one call of a loss, against each other and against the loss's options."""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from . import scalars, sums, tables, tensors
from .absent import tell_of_absent
from .labels import histogram

if TYPE_CHECKING:
    from ..plan import Call
    from ..settings import Settings


def kinds(logits: Any, target: Any, return_stats: Any) -> None:
    """TypeError for arguments of another kind."""
    tensors.tensor("logits", logits)
    tensors.tensor("target", target)
    scalars.flag("return_stats", return_stats)


def call(settings: "Settings", given: "Call") -> tuple[Tensor, Tensor | None]:
    """The target and the factors of its pixels as (B, *spatial), views; TypeError or ValueError for what does not go
    together."""
    for number, head in enumerate(given.heads):
        tensors.logits(head)
        tensors.alike(number, head, given.heads[0])
        labels = _target(settings, head, given)
    if settings.regions:
        sums.region_option("reduction", settings.reduction)
        sums.regions(settings.regions, given.heads[0])
    scalars.flag("return_stats", given.return_stats)
    tables.mask_sizes(given.mask_sizes, given.heads[0])
    return labels, tensors.pixel_weight(given.pixel_weight, labels)


def _target(settings: "Settings", logits: Tensor, given: "Call") -> Tensor:
    """The target of these logits as (B, *spatial)."""
    target = tensors.target(given.target, logits)
    tensors.ignored(settings.ignored, settings.ignored_said, logits.shape[1])
    for weight in (given.weight, *given.region_weights):
        tables.per_class("weight", weight, logits)
    tables.per_class("class_counts", given.class_counts, logits)
    if logits.shape[2:] != target.shape[1:]:
        if settings.gradient == "one_pass" and not settings.reduce:
            raise ValueError(
                "gradient: 'one_pass' with reduction='none' expects logits of the target's size, got shape "
                f"{tuple(logits.shape)} for a target of shape {tuple(target.shape)}; where logits are resized, choose "
                "'auto' or 'recompute', which compute the gradient in backward"
            )
        if settings.sharding == "rows":
            raise ValueError(
                f"sharding: 'rows' expects logits of the target's size, got shape {tuple(logits.shape)} for a target "
                f"of shape {tuple(target.shape)}; resizing would need rows that other processes have"
            )
    return target


def counts_of_call(
    settings: "Settings", counts: Tensor, labels: Tensor, mask_sizes: Tensor | None, class_counts: Tensor | None
) -> None:
    """ValueError for labels that are neither a class nor ignored, and for mask sizes less than the target's; a warning
    for classes that the data set's counts leave out; counts (B, L + 1) of the labels."""
    histogram(counts, labels, settings.ignored)
    if mask_sizes is not None:
        tables.large_enough(mask_sizes, counts[:, :-1])
    tell_of_absent(settings, counts, class_counts)
