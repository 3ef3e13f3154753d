"""A kind of call, worked out once: checked arguments, a backend, what it launches, and which tables exist.

What a call's way depends on is its *kind*: shapes, strides, dtypes, devices and alignment of its tensors, the options
that are not numbers, and torch's modes. The package keeps a plan for each kind that came lately. A plan holds no number
that is read from a tensor and none that an option may change from step to step: class counts, weights, ``loss_weight``
and a curve's parameters are read at every call.

Parts of the user's own, batches that lie on several processes, and tensors without numbers (as under torch.compile)
are planned anew at every call, and their tables made by torch's operators, with the same numbers.
"""

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from . import checks, noise, private
from .adjustment import AdjustmentNumbers, Noise, Tables, combine, noise_of
from .autograd import Head, differentiable
from .backends import forget_launches
from .curves import Curve
from .description import Description, describe
from .inputs import ClassSums, LossInputs, compute_dtype
from .kinds import Cache, kinds
from .numbers import Pair, TableNumbers, pair, pairs
from .operators import route
from .sharing import SharedLabelCounts, share
from .statistics import statistics
from .weights import LabelCounts, weight_table

if TYPE_CHECKING:
    from .criterion import SegmentationLoss

plans = Cache(128)


def forget() -> None:
    """Forget all plans, as after tiles were changed."""
    plans.clear()
    forget_launches()


class Arguments(NamedTuple):
    """Of one call, what its kind depends on."""

    heads: Sequence[Tensor]
    target: Tensor
    return_stats: bool
    mask_sizes: Tensor | None
    pixel_weight: Tensor | None


class Parts(NamedTuple):
    """A criterion's options, sorted: what decides a call's way, and the numbers that do not.

    state: the module's ``options_state`` when they were sorted, and training its mode. way: the same object for the
    same options; None where a part is the user's own, and says nothing of itself.
    """

    state: object
    training: bool
    way: object | None
    curve: Curve
    parameters: tuple[Pair, ...]
    loss_weight: float
    amounts: TableNumbers = TableNumbers()
    variation: Noise | None = None


_ways = Cache(128)


def _sorted(c: "SegmentationLoss") -> Parts:
    state, training = c.options_state, c.training  # before the options: another thread may be assigning one
    # As for a mean with class weights: reduction and weights are in the key besides.
    described = describe(c.weights, c.adjustment, mean=True, weighted=True, training=training)
    if described is None or (c.process_group is not None and training):
        return Parts(state, training, None, c.curve, (), c.loss_weight)
    description, amounts = described
    beta = getattr(c.weights, "beta", None)
    options = (
        training, type(c.curve), description, beta is None, amounts.variation and amounts.variation.distribution,
        c.ignore_index, c.reduction, c.align_corners, c.backend, c.gradient, c.validate,
    )  # fmt: skip
    numbers = (None if beta is None else 1 - beta, amounts.scale, amounts.offset, amounts.margin)
    of_tables = TableNumbers(*(None if n is None else pair(n) for n in numbers))
    parameters, way = pairs(c.curve.parameters), _ways.of(options, object)
    return Parts(state, training, way, c.curve, parameters, c.loss_weight, of_tables, amounts.variation)


def call(
    c: "SegmentationLoss", heads: Sequence[Tensor], factors: Sequence[float], target: Tensor, return_stats: bool,
    mask_sizes: Tensor | None, pixel_weight: Tensor | None,
) -> Any:  # fmt: skip
    """The loss, and its ``Statistics`` where they are asked for, by the plan of this kind of call; where there is none
    it is made, and the arguments are checked. heads: one or several logits; factors: of the loss of each."""
    key: Hashable | None = None
    parts, buffers = c.sorted_options, c._buffers
    if torch.compiler.is_compiling():
        parts = Parts(None, c.training, None, c.curve, (), c.loss_weight)
    else:
        if parts is None or parts.state is not c.options_state or parts.training != c.training:
            parts = c.__dict__["sorted_options"] = _sorted(c)
        modes = private.modes()
        if parts.way is not None and modes is not None and target is not None and return_stats.__class__ is bool:
            tensors = kinds((*heads, target, buffers["weight"], buffers["class_counts"], mask_sizes, pixel_weight))
            if tensors is not None:
                key = parts.way, len(heads), return_stats, modes, tensors
    plan = None if key is None else plans.get(key)
    if plan is None:
        plan = Plan(c, Arguments(heads, target, return_stats, mask_sizes, pixel_weight))
        if key is not None and not plan.backend.traced and not private.is_faking():
            plans.put(key, plan)
    return plan(c, parts, heads, factors, target, mask_sizes, pixel_weight)


class Plan:
    """Called with a criterion and arguments of the kind that it was made from.

    Raises TypeError or ValueError for arguments that do not go together.
    """

    def __init__(self, c: "SegmentationLoss", given: Arguments) -> None:
        labels, pixel_weight = checks.call(c, *given)
        first = given.heads[0]
        self.backend = route(c.backend, first)
        self.target_has_channel = labels.ndim != given.target.ndim
        self.weight_has_channel = given.pixel_weight is not None and pixel_weight is not given.pixel_weight
        self.return_stats = given.return_stats
        self.looked = checks.looks_at_labels(labels.device, c.validate)
        self.images, self.classes = first.shape[:2]
        self.ignore_index, self.align_corners = c.ignore_index, c.align_corners
        self.reduce, self.mean = c.reduction != "none", c.reduction == "mean"
        self.heads: list[Head | None] = [None] * len(given.heads)
        self.shared = c.process_group is not None and c.training
        self.tables: Any = None
        described = describe(
            c.weights, c.adjustment, mean=self.mean, weighted=c.weight is not None, training=c.training
        )
        if described is not None and not self.shared and self.backend.planned_tables is not None:
            self._plan_tables(c, *described, labels, given)

    def _plan_tables(
        self, c: "SegmentationLoss", description: Description, amounts: AdjustmentNumbers, labels: Tensor,
        given: Arguments,
    ) -> None:  # fmt: skip
        """By a kernel, from the histogram, the buffers and the numbers of a call."""
        if given.mask_sizes is not None and description.numerator != "mask_size":
            raise checks.mask_sizes_unused(c.weights)
        counts, heads = c.class_counts, len(given.heads)
        self.rows = description.rows
        self.first_weights = [len(self.rows) + number * self.images for number in range(heads)]
        self.draw_seeds = noise.seeds(labels.device, heads)
        drawn, passes = noise_of(amounts.variation, self.classes), []
        for number, logits in enumerate(given.heads):
            inputs = LossInputs(
                c.curve,
                pairs(c.curve.parameters),
                None,
                self.rows,
                self.first_weights[number],
                drawn,
                None,
                c.ignore_index,
                c.align_corners,
            )
            passes.append(self._plan_head(number, c, logits, labels, inputs).run)
        self.counted = self.return_stats or self.looked or description.counts_labels(counts is not None)
        self.histogram = self.backend.planned_histogram(labels, self.classes, c.ignore_index)
        wide = any(head.dtype == torch.float64 for head in given.heads)
        self.tables = self.backend.planned_tables(
            description, self.images, self.classes, heads, torch.float64 if wide else torch.float32,
            labels.device, counts, c.weight, given.mask_sizes, passes,
        )  # fmt: skip
        self.divide_by = description.number_to_divide_by(self.images, labels[:1].numel(), self.classes)

    def __call__(
        self, c: "SegmentationLoss", parts: Parts, heads: Sequence[Tensor], factors: Sequence[float], labels: Tensor,
        mask_sizes: Tensor | None, pixel_weight: Tensor | None,
    ) -> Any:  # fmt: skip
        return_stats = self.return_stats
        if self.target_has_channel:
            labels = labels.squeeze(1)
        if self.weight_has_channel and pixel_weight is not None:
            pixel_weight = pixel_weight.squeeze(1)
        histogram: Any = None
        inputs: list[LossInputs] | None = None
        if self.tables is None:
            histogram, inputs = self._inputs_by_torch(c, heads, factors, labels, mask_sizes, pixel_weight)
        else:
            if self.counted:
                histogram = self.histogram(labels)
            if self.looked:
                checks.counts_of_call(histogram, labels, self.ignore_index, mask_sizes)
            buffers, factor, n = c._buffers, parts.loss_weight / self.divide_by, len(heads)
            of_heads = (pair(factor * factors[0]),) if n == 1 else tuple([pair(factor * own) for own in factors])
            tables = self.tables(
                histogram, buffers["class_counts"], buffers["weight"], mask_sizes, of_heads, parts.amounts
            )
            drawn, seed, seeds = parts.variation, None, None
            if drawn is not None:
                drawn, seed = noise_of(drawn, self.classes), self.draw_seeds()
                seeds = None if n == 1 else seed.split(2)  # which costs as much as the draw
        total: Any = None
        sums: list[ClassSums] = []
        for number, logits in enumerate(heads):
            if inputs is not None:
                own = inputs[number]
            else:
                own = LossInputs(
                    parts.curve, parts.parameters, tables, self.rows, self.first_weights[number], drawn,
                    seed if seeds is None else seeds[number], self.ignore_index, self.align_corners, None, pixel_weight,
                )  # fmt: skip
            head = self.heads[number] or self._plan_head(number, c, logits, labels, own)
            loss: Any
            if head.differentiable:
                loss = differentiable(logits, (head, labels, own))
                if return_stats:
                    loss, *by_class = loss
                    sums.append(ClassSums(*by_class))
            else:
                result = head.run(logits, labels, own)
                loss = result.loss
                if result.sums is not None:
                    sums.append(result.sums)
            total = loss if total is None else total + loss
        return (total, statistics(sums, histogram, self.looked)) if return_stats else total

    def _plan_head(
        self, number: int, c: "SegmentationLoss", logits: Tensor, labels: Tensor, inputs: LossInputs
    ) -> Head:
        traced, graph = self.backend.traced, logits.requires_grad and torch.is_grad_enabled()
        one_pass = _one_pass(c, logits.dtype, traced)
        options: dict[str, Any] = {"reduce": self.reduce, "gradient": one_pass and graph, "sums": self.return_stats}
        run: Any
        if inputs.tables is None and self.backend.planned_pass is not None:
            run = self.backend.planned_pass(logits, labels, inputs, **options)
        else:
            run = partial(self.backend.run, **options)
        made = self.heads[number] = Head(self.backend, run, one_pass, graph and not traced)
        return made

    def _inputs_by_torch(
        self, c: "SegmentationLoss", heads: Sequence[Tensor], factors: Sequence[float], labels: Tensor,
        mask_sizes: Tensor | None, pixel_weight: Tensor | None,
    ) -> tuple[Tensor | None, list[LossInputs]]:  # fmt: skip
        counts = self._counts(c, labels, mask_sizes)
        if self.looked and not self.backend.traced:
            counts.look(c.ignore_index)
        tables = combine(c.adjustment, counts.counts) if c.adjustment else Tables()
        tables = tables if c.training else tables.without_noise()
        seeds: Sequence[Tensor | None] = [None] * len(heads)
        if tables.noise:
            seeds = counts.from_rank_0(noise.seeds(labels.device, len(heads))()).split(2)
        scale = c.loss_weight * (counts.world_size if self.reduce else 1)
        inputs = [
            self._inputs(c, counts, tables, factor * scale, head, seed, pixel_weight)
            for head, factor, seed in zip(heads, factors, seeds, strict=True)
        ]
        return counts.histogram if self.return_stats else None, inputs

    def _counts(self, c: "SegmentationLoss", labels: Tensor, mask_sizes: Tensor | None) -> LabelCounts:
        def histogram() -> Tensor:
            return self.backend.histogram(labels, self.classes, c.ignore_index)

        tables = {"counts": c.class_counts, "weight": c.weight, "mask_sizes": mask_sizes}
        if not self.shared:
            return LabelCounts(histogram, labels, self.classes, **tables)
        return SharedLabelCounts(share(c.process_group, c.sharding), histogram, labels, self.classes, **tables)

    def _inputs(
        self, c: "SegmentationLoss", counts: LabelCounts, tables: Tables, factor: float, head: Tensor,
        seed: Tensor | None, pixel_weight: Tensor | None,
    ) -> LossInputs:  # fmt: skip
        weights, rows = weight_table(c.weights, counts, self.mean, factor, compute_dtype(head)), tables.rows
        if rows:
            adjustment = torch.stack([getattr(tables, name) for name in rows])
            weights = torch.cat((adjustment.to(weights.dtype), weights))
        parameters = () if self.backend.traced else pairs(c.curve.parameters)  # the operator takes them from the curve
        return LossInputs(
            c.curve, parameters, weights, rows, len(rows), tables.noise, seed, c.ignore_index, c.align_corners,
            None if seed is None else counts.global_offset, pixel_weight, counts.histogram if self.looked else None,
        )  # fmt: skip


def _one_pass(c: "SegmentationLoss", logits: torch.dtype, traced: bool) -> bool:
    """Whether the forward writes the gradient."""
    if c.gradient != "auto":
        return c.gradient == "one_pass"
    # A compiled backward cannot scale in place, and would read and write the gradient once more.
    return logits != torch.float16 and c.reduction != "none" and not traced
