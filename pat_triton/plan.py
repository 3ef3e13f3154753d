"""A kind of call, worked out once: checked arguments, a backend, what it launches, and which tables exist.

What a call's way depends on is its *kind*: shapes, strides, dtypes, devices and alignment of its tensors, the options
that are not numbers, and torch's modes. A plan holds no number that is read from a tensor and none that an option may
change from step to step: class counts, weights, ``loss_weight`` and a curve's parameters are read at every call.
"""

import operator
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import checks, noise
from .autograd import differentiable
from .backends.choose import Backend, choose
from .description import Description
from .inputs import ClassSums, table_dtype
from .kinds import Cache, kinds
from .numbers import Pair, pair
from .prepare import Prepared, label_counts, prepare
from .regions import Sums, value_and_derivatives
from .settings import Parts, Settings
from .sharing import shared_sums
from .statistics import Statistics, statistics

# Bytes that a GPU of 1 TB/s writes in 32 us, which the call of an operator in a compiled backward costs its host.
SMALL = 1 << 25


class Call(NamedTuple):
    """The arguments of one call. heads: one or several logits; factors: of the loss of each. prepared: what torch's
    operators made of the labels before, in a graph; else the plan sees to it. numbers: the options', if they are on the
    GPU, and then the factors too, if there are none. region_weights: of the classes, of each region loss."""

    heads: Sequence[Tensor]
    factors: Sequence[float]
    target: Tensor
    return_stats: bool
    class_counts: Tensor | None
    weight: Tensor | None
    mask_sizes: Tensor | None
    pixel_weight: Tensor | None
    prepared: Prepared | None = None
    numbers: Tensor | None = None
    region_weights: Sequence[Tensor | None] = ()


# The loss, () or (B, *spatial); a gradient for each head, None where it is not made yet; statistics, if they are asked
# for; and what a backward that makes gradients needs besides logits, target and their weights.
Outcome = tuple[Tensor, Sequence[Tensor | None], Statistics | None, Any]


class Plan:
    """Called with options and arguments of the kind that it was made from.

    one_pass: for each head whether its forward also makes its gradient, 1 read and 1 write of the logits; otherwise
    the backward does, with grad_output folded in before rounding, 2 reads and 1 write.
    Raises TypeError or ValueError for arguments that do not go together.
    """

    traced = False

    def __init__(self, parts: Parts, call: Call) -> None:
        labels, pixel_weight = checks.call(parts.settings, call)
        self.target_has_channel = labels.ndim != call.target.ndim
        self.weight_has_channel = call.pixel_weight is not None and pixel_weight is not call.pixel_weight
        enabled = torch.is_grad_enabled()
        self.graph = tuple([head.requires_grad and enabled for head in call.heads])
        self.differentiable = any(self.graph)
        self.one_pass = tuple([_one_pass(parts.settings, head, labels, self.traced) for head in call.heads])
        self.in_forward = tuple(map(operator.and_, self.graph, self.one_pass))
        self.late = late(self.graph, self.in_forward)
        self.keeps = any(self.late)  # something for a backward that makes gradients

    def __call__(self, parts: Parts, call: Call) -> Any:
        if self.target_has_channel:
            call = call._replace(target=call.target.squeeze(1))
        if self.weight_has_channel and call.pixel_weight is not None:
            call = call._replace(pixel_weight=call.pixel_weight.squeeze(1))
        if not self.differentiable:
            loss, _, stats, _ = self.run(parts, call, call.heads)
            return (loss, stats) if call.return_stats else loss
        loss = differentiable(self, parts, call, *call.heads)
        return (loss[0], Statistics(*loss[1:])) if call.return_stats else loss

    def run(self, parts: Parts, call: Call, heads: Sequence[Tensor]) -> Outcome:
        """The loss, and the gradients that are made ``in_forward``."""
        raise NotImplementedError

    def gradients(
        self, parts: Parts, prepared: Any, heads: Sequence[Tensor], target: Tensor, pixel_weight: Tensor | None,
        factor: Tensor, wanted: Sequence[bool],
    ) -> Sequence[Tensor | None]:  # fmt: skip
        """Of the heads that are ``wanted``, times ``factor``: those that forward did not make."""
        raise NotImplementedError


class Executed(Plan):
    """By a backend. in_forward: the heads whose gradient the forward makes, and whether it ``keeps`` something; without
    them autograd is asked."""

    def __init__(self, parts: Parts, call: Call, in_forward: Sequence[bool] | None = None, keeps: bool = False) -> None:
        super().__init__(parts, call)
        settings, first = parts.settings, call.heads[0]
        labels = call.target.squeeze(1) if self.target_has_channel else call.target
        if in_forward is not None:
            self.in_forward, self.keeps = tuple(in_forward), keeps
        self.backend = choose(settings.backend, first.device)
        self.labels_checked = checks.checks_labels(labels.device, settings.validate)
        self.ignored = settings.ignored
        self.images, self.classes = first.shape[:2]
        self.dtype = table_dtype(call.heads)
        # Sigma and the curve's parameters, which kernels read from the tables.
        self.lead = 0 if self.backend.planned_tables is None else lead_rows(parts.parameters, self.classes)
        self.options: list[dict[str, Any]] = [
            {"reduce": settings.reduce, "gradient": gradient, "sums": call.return_stats} for gradient in self.in_forward
        ]
        self.rescales: list[Any] = [None] * len(call.heads)
        self.passes: list[Any] = [partial(self.backend.run, **options) for options in self.options]
        self.tables: Any = None
        self.backward_passes = Cache(8)
        if self.lead and not settings.tables_by_torch:
            self._plan_tables(parts, call, labels)
        elif self.lead:
            self.lead_rows = self.backend.planned_tables(
                Description("one", None, ()), self.lead, 1.0, 1, self.classes, 0, self.dtype, labels.device,
                None, None, None, (),
            )  # fmt: skip

    def _plan_tables(self, parts: Parts, call: Call, labels: Tensor) -> None:
        """By a kernel, from the histogram, the buffers and the numbers of a call."""
        settings, heads = parts.settings, len(call.heads)
        description = settings.description(weighted=call.weight is not None)
        if call.mask_sizes is not None and description.numerator != "mask_size":
            raise checks.mask_sizes_unused(parts.rule)
        self.rows = description.rows
        self.noise = settings.noise(1.0, self.classes)  # its sigma is what the tables multiply theirs with
        self.draw_seeds = noise.seeds(labels.device, heads)
        planned: Any = Prepared(None, self.rows, self.noise, None, None, None, self.lead)  # type: ignore[arg-type]
        inputs = planned.inputs(parts, self.images, heads, None)
        self.passes = [
            self.backend.planned_pass(logits, labels, own, **options)
            for logits, own, options in zip(call.heads, inputs, self.options, strict=True)
        ]
        self.counted = (
            call.return_stats or self.labels_checked or bool(settings.regions)
            or description.counts_labels(call.class_counts is not None)
        )  # fmt: skip
        self.region_losses = self.backend.planned_regions(
            settings.regions, self.images, self.classes, labels.device, settings.ignored, settings.reduction == "mean",
            call.region_weights,
        )  # fmt: skip
        self.histogram = self.backend.planned_histogram(labels, self.classes, settings.ignored)
        self.tables = self.backend.planned_tables(
            description, self.lead, self.noise.sigma if self.noise else 1.0, self.images, self.classes, heads,
            self.dtype, labels.device, call.class_counts, call.weight, call.mask_sizes,
            () if self.keeps or settings.regions else self.passes, settings.ignored, weighed=not call.factors,
        )  # fmt: skip
        self.divide_by = description.number_to_divide_by(self.images, labels[:1].numel(), self.classes)
        self.ones = [1.0] * heads
        self.factors = self._pairs(self.ones)

    def _pairs(self, factors: Sequence[float]) -> tuple[Pair, ...]:
        """Of the heads, over what a mean divides by."""
        return tuple([pair(factor / self.divide_by) for factor in factors])

    def run(self, parts: Parts, call: Call, heads: Sequence[Tensor]) -> Outcome:
        return (self._by_torch if self.tables is None else self._by_kernels)(parts, call, heads)

    def _by_kernels(self, parts: Parts, call: Call, heads: Sequence[Tensor]) -> Outcome:
        _, factors, target, return_stats, class_counts, weight, mask_sizes, pixel_weight, _, numbers, _ = call
        histogram: Any = self.histogram(target) if self.counted else None
        if self.labels_checked:
            checks.counts_of_call(parts.settings, histogram, target, mask_sizes, class_counts)
        tables = self.tables(
            histogram, class_counts, weight, mask_sizes, numbers if parts.by_tensor else None,
            self.factors if not factors or factors == self.ones else self._pairs(factors),
            parts.pairs,
        )  # fmt: skip
        seeds = None if self.noise is None else self.draw_seeds()
        each = noise.of_heads(seeds, len(heads))
        loss: Any = None
        gradients: list[Tensor | None] = []
        sums: list[ClassSums] = []
        regions: tuple[Tensor, ...] = ()
        for number, run in enumerate(self.passes):
            term, gradient, by_class, own = run(heads[number], target, tables, each[number], None, pixel_weight)
            if own is not None:
                labelled = histogram if pixel_weight is None else None
                further = None if factors or numbers is None else numbers[number - len(heads) :]
                factor = pair(factors[number] if factors else 1.0)
                self.region_losses(own, labelled, call.region_weights, further, term, factor)
                regions = *regions, own
            loss = term if loss is None else loss + term
            gradients.append(gradient)
            if by_class is not None:
                sums.append(by_class)
        prepared = None
        if self.keeps:
            prepared = Prepared(tables, self.rows, self.noise, seeds, None, None, self.lead, regions)
        stats = statistics(sums, histogram, self.labels_checked, self.ignored) if return_stats else None
        return loss, gradients, stats, prepared

    def _by_torch(self, parts: Parts, call: Call, heads: Sequence[Tensor]) -> Outcome:
        prepared = self._prepared(parts, call)
        inputs = prepared.inputs(parts, self.images, len(heads), call.pixel_weight)
        made = [run(z, call.target, own) for run, z, own in zip(self.passes, heads, inputs, strict=True)]
        loss: Any = made[0].loss
        for other in made[1:]:
            loss = loss + other.loss
        if parts.settings.regions:
            regions = [region_losses(parts, call, number, own.regions) for number, own in enumerate(made)]
            loss = loss + sum(value for value, _ in regions)
            prepared = prepared._replace(regions=tuple([derivatives for _, derivatives in regions]))
        stats = None
        if call.return_stats:
            stats = statistics([own.sums for own in made], prepared.histogram, self.labels_checked, self.ignored)  # type: ignore[misc, arg-type]
        return loss, [own.gradient for own in made], stats, prepared

    def _prepared(self, parts: Parts, call: Call) -> Prepared:
        settings, target = parts.settings, call.target
        prepared = call.prepared
        if prepared is None:
            labels = label_counts(
                parts, lambda: self.backend.histogram(target, self.classes, settings.ignored), target,
                self.classes, settings.ignored, counts=call.class_counts, weight=call.weight,
                mask_sizes=call.mask_sizes,
            )  # fmt: skip
            if self.labels_checked:
                labels.check_labels(settings)
            prepared = prepare(parts, parts.numbers, labels, call.factors, self.dtype, call.return_stats)
        elif self.labels_checked:
            assert prepared.histogram is not None
            checks.counts_of_call(settings, prepared.histogram, target, call.mask_sizes, call.class_counts)
        if self.lead:
            pairs = parts.pairs
            if prepared.noise is not None:  # its gain is in it
                pairs = pairs._replace(sigma=pair(prepared.noise.sigma))
            numbers = call.numbers if parts.by_tensor else None
            lead = self.lead_rows(None, None, None, None, numbers, (), pairs).view(-1, self.classes)
            prepared = prepared._replace(tables=torch.cat((lead, prepared.tables)), lead=self.lead)
        return prepared

    def rescale(self, number: int, gradient: Tensor, factor: Tensor) -> None:
        """A head's, in place by a scalar; which is planned when the first gradient is there."""
        rescale = self.rescales[number]
        if rescale is None:
            rescale = self.rescales[number] = self.backend.planned_rescale(gradient)
        rescale(gradient, factor)

    def gradients(
        self, parts: Parts, prepared: Prepared, heads: Sequence[Tensor], target: Tensor, pixel_weight: Tensor | None,
        factor: Tensor, wanted: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        passes = None if self.tables is None else self.backward_passes
        return gradients(self.backend, passes, parts, prepared, heads, target, pixel_weight, factor, wanted)


def region_losses(parts: Parts, call: Call, number: int, sums: Any) -> tuple[Tensor, Tensor]:
    """Of a head's sums by class: the loss, and its derivatives."""
    settings = parts.settings
    factor: Any = call.factors[number] if call.factors else None
    if factor is None:
        assert call.numbers is not None
        factor = call.numbers[number - len(call.heads)]
    of_batch = Sums.of(sums) if settings.sharding is None else shared_sums(parts, sums)
    return value_and_derivatives(
        settings.regions, call.region_weights, of_batch, settings.ignored, settings.reduction, factor, sums.dtype
    )


def gradients(
    backend: Backend, passes: Cache | None, parts: Parts, prepared: Prepared, heads: Sequence[Tensor], target: Tensor,
    pixel_weight: Tensor | None, factor: Tensor, wanted: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """Of the heads that are wanted, times ``factor``. passes: those of kinds of call before, of one plan; None where
    each call has tables of its own. What a backward finds need not be as forward saved it: hooks on saved tensors may
    change strides."""
    kind = None if passes is None else kinds((factor, *heads, target, pixel_weight, prepared.tables))
    planned = None if passes is None or kind is None else passes.get(kind)
    if planned is None:
        inputs = prepared.inputs(parts, len(target), len(heads), pixel_weight)
        if passes is None or kind is None:
            return [
                backend.run(head, target, own, grad_output=factor).gradient if want else None
                for head, own, want in zip(heads, inputs, wanted, strict=True)
            ]
        planned = [
            backend.planned_pass(head, target, own, reduce=True, gradient=True, sums=False, grad_output=factor)
            for head, own in zip(heads, inputs, strict=True)
        ]
        passes.put(kind, planned)
    tables, _, _, seeds, offset, _, _, regions = prepared
    each = noise.of_heads(seeds, len(heads))
    return [
        run(head, target, tables, seed, offset, pixel_weight, factor, own)[1] if want else None
        for run, head, seed, own, want in zip(
            planned, heads, each, regions or (None,) * len(heads), wanted, strict=True
        )
    ]


def late(graph: Sequence[bool], in_forward: Sequence[bool]) -> tuple[bool, ...]:
    """The heads whose gradient a backward makes: those in the graph that forward made none for."""
    return tuple([wanted and not early for wanted, early in zip(graph, in_forward, strict=True)])


def lead_rows(parameters: int, classes: int) -> int:
    """Rows of tables that hold sigma and a curve's parameters."""
    return -(-(1 + parameters) // classes)


def _one_pass(settings: Settings, logits: Tensor, labels: Tensor, traced: bool) -> bool:
    """Whether the forward makes the gradient of these logits.

    A graph may not scale in place what its forward made, and reads and writes it once more: 2 reads and 2 writes of the
    logits, where a backward that makes it has 2 reads and 1 write. It is one pass all the same where the logits are
    resized, a small part of what a pass does, and where a write costs less than the call of the other operator.
    """
    if settings.regions:  # whose gradient follows from sums over all pixels
        return False
    if settings.gradient != "auto":
        return settings.gradient == "one_pass"
    if logits.dtype == torch.float16 or not settings.reduce:
        return False
    if not traced or logits.shape[2:] != labels.shape[1:]:
        return True
    elements = logits.numel()
    return isinstance(elements, int) and elements * logits.itemsize <= SMALL
