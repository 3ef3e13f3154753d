"""SumLoss: several losses in one pass over the logits."""

from functools import partial
from typing import Any

from torch import nn
from torch.compiler import is_compiling

from . import checks
from .base import Criterion
from .call import traced_call
from .criterion import SegmentationLoss
from .settings import Parts


class _OfAll:
    """An option that the terms of a sum have in common: read from the first, assigned to all."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, total: Any, owner: type | None = None) -> Any:
        return self if total is None else getattr(total.losses[0], self.name)

    def __set__(self, total: Any, value: Any) -> None:
        for loss in total.losses:
            setattr(loss, self.name, value)


class SumLoss(Criterion):
    """A sum of losses in one pass over the logits, as ``+`` makes it: ``PATLoss() + 0.5 * DiceLoss()``.

    It is called as each of its terms is, and has their options that belong to a call: ``ignore_index``, ``reduction``,
    ``align_corners``, ``backend``, ``validate``, ``process_group`` and ``sharding``. They are the same in all of the
    terms; assigned to the sum they are assigned to each. All other options are those of its ``terms``.

    Args:
        terms: at most one loss with a term of each pixel, such as ``PATLoss``, and any number of region losses, such
            as ``DiceLoss``. They are kept, not copied.

    Raises:
        TypeError, ValueError: for what is no loss, for two losses with a term of each pixel, and for options of a call
            that differ.
    """

    terms: nn.ModuleList
    ignore_index, reduction, align_corners, backend, validate, process_group, sharding = (
        _OfAll() for _ in checks.SHARED
    )

    def __init__(self, *terms: Criterion) -> None:
        super().__init__()
        losses = [loss for term in terms for loss in checks.criterion("terms", term, Criterion).losses]
        losses.sort(key=lambda loss: loss.has_regions)
        checks.addable(losses)
        self.terms = nn.ModuleList(losses)
        self.train(losses[0].training)

    @property
    def losses(self) -> tuple[SegmentationLoss, ...]:
        return tuple(self._modules["terms"]._modules.values())  # type: ignore[union-attr, arg-type]

    @property
    def parts(self) -> tuple[Parts, Parts]:  # type: ignore[override]
        """Made again whenever those of a term are others."""
        of_terms = [loss.parts for loss in self.losses]
        seen, made = self.__dict__.get("joined", (None, None))
        if seen != of_terms:
            checks.addable(self.losses)
            regions = tuple(region for loss in self.losses[1:] for region in loss.regions)
            made = tuple(parts.plus(regions) for parts in of_terms[0])
            self.__dict__["joined"] = of_terms, made
        return made  # type: ignore[return-value]

    def __mul__(self, factor: float) -> "SumLoss":
        return SumLoss(*(loss * factor for loss in self.losses))

    def but(self, **options: Any) -> Any:
        if is_compiling():
            return partial(traced_call, self, options)
        options.setdefault("training", self.training)
        losses = [loss.but(**options) for loss in self.losses]
        if tuple(losses) == self.losses:
            return self
        seen, made = self.__dict__.get("others", (None, None))
        if seen != losses:
            made = SumLoss(*losses)
            self.__dict__["others"] = losses, made
        return made
