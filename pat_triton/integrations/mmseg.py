"""mmsegmentation 1.x: the losses, and heads that leave the resize to them, in the registry ``MODELS``.

In a configuration, ``custom_imports = dict(imports=["pat_triton.integrations.mmseg"])``, and then

- ``loss_decode=dict(type="FusedPATLoss", temperature=20)``: each loss of ``pat_triton`` with "Fused" before its name.
  A child configuration's ``loss_decode=dict(type="FusedPATLoss")`` inherits the other keywords of its base's loss; see
  ``Loss`` for which are taken;
- ``loss_decode=dict(type="FusedSumLoss", terms=[dict(type="CrossEntropyLoss"), dict(type="DiceLoss")])``: a sum in one
  pass over the logits; a list of losses takes a pass for each;
- ``decode_head=dict(type="FusedSegformerHead", ...)``: each head of mmsegmentation whose loss is that of
  ``BaseDecodeHead``, with "Fused" before its name. It resizes no logits, and has its accuracy from the loss's pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses.utils import get_class_weight
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .. import checks, losses, region_losses
from ..base import Criterion
from ..criterion import SegmentationLoss
from ..keywords import keywords, refuse
from ..statistics import Statistics
from ..sum_loss import SumLoss
from ..weights import Described, LabelCounts

# Their keys among a head's losses.
LOSSES = {name: f"loss_{kind.entry.short}" for name, kind in losses.CATALOGUE.items()}  # type: ignore[attr-defined]
REGIONS = {name: f"loss_{kind.short}" for name, kind in region_losses.REGIONS.items()}  # type: ignore[attr-defined]
UNSAID = 255  # The ignore_index of a head and of a criterion for which nobody said one.
TINY = torch.finfo(torch.float32).eps  # mmsegmentation adds it to what it divides by.


@dataclass(frozen=True)
class AllPixels:
    """``avg_non_ignore=False``: ``rule``, but a mean divides by all pixels of the batch, ignored ones too.

    Where it divides by class weights, those of ignored pixels are added if their label is a class. Other labels have
    none: mmsegmentation looks one up, and raises IndexError for 255.
    """

    rule: Described

    def __call__(self, labels: LabelCounts) -> tuple[Tensor | float, Tensor | float]:
        table, normaliser = self.rule(labels)
        if self.rule.divisor == "weighted" and labels.weight is not None:
            return table, normaliser + _of_an_ignored_class(labels)
        return table, labels.pixels


def _of_an_ignored_class(labels: LabelCounts) -> Tensor | float:
    """The summed class weights of its pixels, which are all that are not labelled. Of several ignored labels, which
    mmsegmentation does not know, none has a weight."""
    ignored, classes = labels.ignored, labels.shape[1]
    if labels.weight is None or len(ignored) != 1 or not 0 <= ignored[0] < classes:
        return 0.0
    return (labels.pixels - labels.labelled()) * labels.weight[ignored[0]]


class Loss(nn.Module):
    """A loss as mmsegmentation builds and calls it.

    What a head says at a call counts for that call: ``criterion`` is not written to. It is in the mode, training or
    evaluation, of its head.

    Args:
        loss_name: its key among a head's losses; must have "loss" in it, or mmengine does not add it up. One that is
            inherited from a base configuration ("loss_ce") is kept.
        class_weight: numbers for the classes, or a file of them, as in mmsegmentation.
        avg_non_ignore: what a mean divides by. True: the labelled pixels (``FusedCrossEntropyLoss`` with class weights:
            their sum over the labelled pixels). That is also what happens when this is not given, unlike in
            mmsegmentation. False, mmsegmentation's default, has to be asked for here: all pixels of the batch, ignored
            ones too (``FusedCrossEntropyLoss`` with class weights: their sum, in which an ignored pixel counts if its
            label is a class).
            PAT's mean divides by the images, and a pixel by its class's pixels in its image, of which no ignored
            pixel is part: True says what it does, and False is refused. That of its variant "release" divides by all
            elements: False says what it does, and True is refused. In a region loss ignored pixels count nowhere:
            True says so, and False is refused.
        use_sigmoid, use_mask: False, as for mmsegmentation's softmax losses; True is refused.
        options: of the loss of ``pat_triton``. An ``ignore_index`` other than 255 counts, whatever the head's is;
            otherwise the head's does.

    Raises:
        TypeError: for keywords that the loss does not have, such as those of another loss in a base configuration.
        ValueError: for values that mean something that the loss does not do.
    """

    kind: type[SegmentationLoss]
    default_name: str
    criterion: Criterion

    def __init__(
        self,
        *,
        loss_name: str | None = None,
        class_weight: Sequence[float] | str | None = None,
        avg_non_ignore: bool | None = None,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        _only_softmax(type(self), use_sigmoid=use_sigmoid, use_mask=use_mask)
        name, theirs = type(self).__name__, keywords(Loss)
        refuse(
            name, options, list(dict.fromkeys((*keywords(self.kind), *theirs))),
            ". If it is inherited from the base configuration's loss, write "
            f"dict(_delete_=True, type=\"{name}\"), which inherits nothing",
        )  # fmt: skip
        self.loss_name = _added_up(self.default_name if loss_name is None else loss_name)
        if class_weight is not None:
            if options.get("weight") is not None:
                raise ValueError("class_weight: got weight too, expected one of the two: they mean the same")
            options["weight"] = get_class_weight(class_weight)
        self.criterion = criterion = self.kind(**options)
        if avg_non_ignore is not None:
            _average(type(self), criterion, avg_non_ignore)

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
        **_: Any,
    ) -> Tensor:
        """pred (B, L, h, w), target (B, H, W).

        weight: a factor of each pixel, (B, H, W). avg_factor: what the sum is divided by instead of a mean's own
        number. reduction_override: "none", "mean" or "sum". ignore_index: the head's.
        """
        reduction = reduction_override or self.criterion.reduction
        if avg_factor is not None and reduction == "sum":
            raise ValueError("avg_factor: got one for reduction='sum', expected none: it divides a mean")
        if avg_factor is None or reduction == "none":
            return self._told(ignore_index, reduction=reduction)(pred, target, pixel_weight=weight)
        return self._told(ignore_index, reduction="sum")(pred, target, pixel_weight=weight) / (avg_factor + TINY)

    def with_statistics(
        self, pred: Tensor, target: Tensor, ignore_index: int | None, align_corners: bool
    ) -> tuple[Tensor, Statistics]:
        """pred (B, L, h, w) of any size, which is resized as the head resizes."""
        return self._told(ignore_index, align_corners=align_corners)(pred, target, return_stats=True)

    def _told(self, ignore_index: int | None, **options: Any) -> Any:
        """The criterion with the options of one call, in this module's mode. A head passes its ignore_index at every
        call, so that 255 need not be anybody's choice: a criterion's own goes first."""
        if ignore_index not in (None, UNSAID) and self.criterion.ignore_index == UNSAID:
            options["ignore_index"] = ignore_index
        return self.criterion.but(training=self.training, **options)


class Sum(Loss):
    """A sum of losses in one pass over the logits, see ``pat_triton.SumLoss``.

    Args:
        terms: a configuration of each, such as ``dict(type="PATLoss", temperature=20)``, with the keywords of ``Loss``.
        loss_name, use_sigmoid, use_mask: see ``Loss``.
        options: of all terms, such as ``ignore_index``.
    """

    default_name = "loss_sum"

    def __init__(
        self,
        terms: Sequence[dict[str, Any]],
        *,
        loss_name: str | None = None,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        _only_softmax(type(self), use_sigmoid=use_sigmoid, use_mask=use_mask)
        self.loss_name = _added_up(self.default_name if loss_name is None else loss_name)
        self.criterion = SumLoss(*(_term(term, options) for term in terms))


def _term(configuration: Any, options: dict[str, Any]) -> Criterion:
    """A loss of its configuration; options that it does not have itself are those of the sum."""
    if not isinstance(configuration, dict) or "type" not in configuration:
        raise TypeError(f"terms: expected configurations such as dict(type='DiceLoss'), got {configuration!r}")
    name = checks.known("terms", str(configuration["type"]).removeprefix("Fused"), (*LOSSES, *REGIONS))
    own = {**options, **configuration}
    del own["type"]
    return globals()[f"Fused{name}"](**own).criterion  # type: ignore[no-any-return]


def _only_softmax(asked: type[Loss], **given: Any) -> None:
    for word, value in given.items():
        if checks.flag(word, value):
            raise ValueError(
                f"{word}: {asked.__name__} got True, expected False or nothing: it is a softmax loss, where each pixel "
                f"has one class. {_inherited(asked, word, False)}"
            )


def _inherited(asked: type[Loss], word: str, value: Any) -> str:
    return (
        f"If it is inherited from the base configuration's loss, write {word}={value}, or "
        f'dict(_delete_=True, type="{asked.__name__}"), which inherits nothing'
    )


def _added_up(name: Any) -> str:
    if not isinstance(name, str) or "loss" not in name:
        raise ValueError(f"loss_name: expected a name with 'loss' in it, as mmengine adds up no others, got {name!r}")
    return name


# What a mean divides by where ignored pixels cannot be counted in, or left out, on request.
FIXED = {
    "images": (True, "its mean divides by the images, and a pixel by its class's pixels in its image"),
    "elements": (False, "with variant='release' its mean divides by all elements, those of ignored pixels too"),
}


def _average(asked: type[Loss], criterion: SegmentationLoss, avg_non_ignore: bool) -> None:
    """The criterion's mean is as ``avg_non_ignore`` says, or ValueError."""
    rule = criterion.weights
    assert isinstance(rule, Described)  # so are those of all LOSSES
    only, why = FIXED.get(rule.divisor, (None, ""))
    if criterion.has_regions:
        only, why = True, "it is a region loss, where ignored pixels count nowhere"
    if checks.flag("avg_non_ignore", avg_non_ignore) is (not only) and only is not None:
        raise ValueError(
            f"avg_non_ignore: {asked.__name__} got {avg_non_ignore}, expected {only} or nothing: {why}. "
            f"{_inherited(asked, 'avg_non_ignore', only)}"
        )
    if only is None and not avg_non_ignore:
        criterion.weights = AllPixels(rule)


class FusedResize:
    """Before a head in the bases of a class: its logits reach the losses of this module as small as they are."""

    def loss_by_feat(self: Any, seg_logits: Tensor, batch_data_samples: Any) -> dict[str, Tensor]:
        parts = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        if self.sampler is not None or not any(isinstance(part, Loss) for part in parts):
            # A sampler looks at logits of full size; without a loss of ours there is nothing to gain.
            return super().loss_by_feat(seg_logits, batch_data_samples)  # type: ignore[misc]
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        losses: dict[str, Tensor] = {}
        accuracy = full = None
        for part in parts:
            name = str(part.loss_name)
            if isinstance(part, Loss):
                loss, stats = part.with_statistics(seg_logits, labels, self.ignore_index, self.align_corners)
                accuracy = _accuracy(stats) if accuracy is None else accuracy
            else:
                if full is None:
                    full = resize(seg_logits, size=labels.shape[1:], mode="bilinear", align_corners=self.align_corners)
                loss = part(full, labels, weight=None, ignore_index=self.ignore_index)
            losses[name] = losses[name] + loss if name in losses else loss
        assert accuracy is not None
        return losses | {"acc_seg": accuracy}


def _accuracy(stats: Statistics) -> Tensor:
    """mmsegmentation's, in percent; 100 where nothing is labelled."""
    return 100 * (stats.correct.sum() + TINY) / (stats.labelled.sum() + TINY)


def _register() -> None:
    for name, key in LOSSES.items():
        _add(f"Fused{name}", (Loss,), kind=losses.CATALOGUE[name], default_name=key, __doc__=Loss.__doc__)
    for name, key in REGIONS.items():
        _add(f"Fused{name}", (Loss,), kind=region_losses.REGIONS[name], default_name=key, __doc__=Loss.__doc__)
    _add("FusedSumLoss", (Sum,), __doc__=Sum.__doc__)
    for head in list(MODELS.module_dict.values()):
        if getattr(head, "loss_by_feat", None) is BaseDecodeHead.loss_by_feat:
            _add(f"Fused{head.__name__}", (FusedResize, head), __doc__=head.__doc__)


def _add(name: str, bases: tuple[type, ...], **members: Any) -> None:
    """To the registry and to this module, where pickle looks for it."""
    made = type(name, bases, members | {"__module__": __name__})
    MODELS.register_module(module=made)
    globals()[name] = made


_register()
