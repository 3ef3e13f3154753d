"""What a loss and a sum of losses have in common: how they are called, copied and added."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from torch import Tensor, nn
from torch.compiler import is_compiling

from . import checks
from .call import call, traced_call
from .options import Reduction
from .plan import Call
from .settings import Parts
from .statistics import Statistics

if TYPE_CHECKING:
    from .criterion import SegmentationLoss
    from .sum_loss import SumLoss

# What follows from the options, and is not kept in copies and files.
DERIVED = ("parts", "said", "region_text", "numbers", "others", "joined")


class Criterion(nn.Module):
    """What is called as a loss: one of them, or a sum of several, see ``SegmentationLoss`` and ``SumLoss``."""

    parts: tuple[Parts, Parts]  # in evaluation and in training mode
    ignore_index: int | tuple[int, ...]
    reduction: Reduction

    @property
    def losses(self) -> "tuple[SegmentationLoss, ...]":
        """One that has a term of each pixel, if there is one, then region losses: all are made in one pass."""
        raise NotImplementedError

    @property
    def tables(self) -> tuple[Tensor | None, Tensor | None, list[Tensor | None]]:
        """The class counts and class weights of the first loss, and those of the region losses."""
        losses = self.losses
        first, regions = losses[0], [loss._buffers["weight"] for loss in losses if loss.has_regions]
        own = first._buffers  # as attributes of a module they would take thrice as long
        return own["class_counts"], None if first.has_regions else own["weight"], regions

    def but(self, **options: Any) -> Any:
        """This criterion in another mode (``training``) or with another ``ignore_index``, ``reduction`` or
        ``align_corners``, to be called at once. It shares the tables and the numbers of this one, which is not written
        to: for frameworks that decide so at every call."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """For copies and files: without what follows from the options."""
        return {name: value for name, value in self.__dict__.items() if name not in DERIVED}

    def __add__(self, other: "Criterion") -> "SumLoss":
        from .sum_loss import SumLoss  # which is made of criteria

        return SumLoss(self, other) if isinstance(other, Criterion) else NotImplemented

    def __mul__(self, factor: float) -> "Criterion":
        """A copy, times a number."""
        raise NotImplementedError

    def __rmul__(self, factor: float) -> "Criterion":
        return self * factor

    @overload
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: Literal[False] = ...,
        *, weights: Sequence[float] | None = ..., mask_sizes: Tensor | None = ..., pixel_weight: Tensor | None = ...,
    ) -> Tensor: ...  # fmt: skip
    @overload
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: Literal[True],
        *, weights: Sequence[float] | None = ..., mask_sizes: Tensor | None = ..., pixel_weight: Tensor | None = ...,
    ) -> tuple[Tensor, Statistics]: ...  # fmt: skip
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: bool = False,
        *, weights: Sequence[float] | None = None, mask_sizes: Tensor | None = None,
        pixel_weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Statistics]:  # fmt: skip
        """See the class: logits (B, L, *spatial), target (B, *spatial) -> the loss.

        Args:
            logits: or a list of them, of one batch and each of its own size (deep supervision): the loss is the
                sum of theirs, and the labels are counted once.
            return_stats: return (loss, ``Statistics``), made in the same pass without waiting for the device. Of
                several logits: the loss of all of them, the predictions of the first.
            weights: a list of a number, of any sign, for each of a list of logits; None is 1 for each.
            mask_sizes: S of each image and class, integers (B, L), for a target that is a crop or a tile of a
                larger image; None counts the target. For rules that use them (``PATLoss``). They cannot be less
                than the target's own: ValueError on a CPU; elsewhere (see ``validate``), or compiled, the loss is nan.
            pixel_weight: a factor of each pixel's term (boundaries, a sampler's choice), float of the target's shape,
                any strides; it gets no gradient. What a mean divides by stays the same: a pixel of weight 0 has no
                loss, but is labelled.
        """
        if is_compiling():
            return traced_call(
                self, {}, logits, target, return_stats, weights=weights, mask_sizes=mask_sizes,
                pixel_weight=pixel_weight,
            )  # fmt: skip
        heads, factors = checks.heads(logits, weights)
        class_counts, weight, region_weights = self.tables
        return call(
            self.parts[self.training],
            Call(
                heads, factors, target, return_stats, class_counts, weight, mask_sizes, pixel_weight,
                region_weights=region_weights,
            ),
        )  # fmt: skip
