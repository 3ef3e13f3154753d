"""``pat_triton.backends.choose.Backend`` in plain torch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...adjustment import statistics
from ...inputs import ClassSums, Ignored, LossInputs, Result, compute_dtype, label_dtype
from ...resize import bilinear
from . import regions
from .chunk import Chunk, is_ignored, rows
from .count import count, largest
from .formula import Formula
from .kept import kept
from .slices import Where, part_of
from .source import Dense, Resized, Source, chunks
from .workers import in_order
from .workspace import Workspace

# Most bins of a histogram that counts ignored labels too.
BINS = 1 << 10

planned_histogram = planned_tables = planned_pass = planned_regions = None  # by operators, see ``pat_triton.weights``


def planned_rescale(_: Tensor) -> Callable[[Tensor, Tensor], None]:
    return rescale


def histogram(target: Tensor, classes: int, ignored: Ignored) -> Tensor:
    low, high = min(-1, min(ignored) - 1), max(classes, max(ignored) + 1)
    if high - low > BINS:
        return _sparse_histogram(target, classes, ignored)

    # A bin for each label from low to high, these for all that lie beyond; what they mean is sorted out among bins.
    def bins(labels: Tensor) -> Tensor:
        return labels.long().clamp(low, high)

    counts = count(high - low + 1, bins, target, low=low)
    column = _columns(low, high, classes, ignored, target.device).expand(counts.shape)
    return counts.new_zeros(len(counts), classes + 2).scatter_add_(1, column, counts)[:, :-1].contiguous()


@kept(16)
def _columns(low: int, high: int, classes: int, ignored: Ignored, device: torch.device) -> Tensor:
    """Where each label from low to high is counted: by its class, L if it is none, L + 1 if it is ignored."""
    label = torch.arange(low, high + 1, device=device)
    column = torch.where((label < 0) | (label >= classes), classes, label)
    return column.masked_fill_(is_ignored(label, ignored), classes + 1)


def _sparse_histogram(target: Tensor, classes: int, ignored: Ignored) -> Tensor:
    """Of ignored labels that lie far from the classes."""

    # Below the classes, the L classes, above them, ignored.
    def bins(labels: Tensor) -> Tensor:
        y = labels.long()
        return y.clamp(-1, classes).masked_fill_(is_ignored(y, ignored), classes + 1).add_(1)

    counts = count(classes + 3, bins, target)
    return torch.cat((counts[:, 1:-2], (counts[:, 0] + counts[:, -2])[:, None]), 1)


def confusion(target: Tensor, prediction: Tensor, classes: int, ignored: Ignored) -> Tensor:
    def bins(labels: Tensor, predicted: Tensor) -> Tensor:
        return rows(labels, classes, ignored).mul_(classes).add_(predicted)

    return count((classes + 2) * classes, bins, target, prediction).sum(0).view(classes + 2, classes)


def run(
    logits: Tensor, target: Tensor, inputs: LossInputs, *,
    reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, sums: bool = False,
) -> Result:  # fmt: skip
    formula = Formula(logits, inputs, target.shape)
    differentiate = gradient or grad_output is not None
    factor = None if grad_output is None else grad_output.expand(target.shape)
    terms = None if reduce else torch.empty(target.shape, dtype=formula.compute, device=target.device)
    counts = ClassSums.zeros(logits, formula.compute) if sums else None
    size = target.shape[1:]
    resized = logits.shape[2:] != size
    source = _source(logits, size, inputs.align_corners, formula.compute, differentiate)
    parts = chunks(logits, size, formula.cost)
    totals: list[Tensor] = []
    plain = None if inputs.regions is None else regions.unadjusted(formula, logits)
    apart = None if plain is formula else plain  # beside that of the adjusted logits
    of_regions = None
    if plain is not None and not differentiate:
        of_regions = statistics(logits.new_zeros(logits.shape[0], 4, logits.shape[1]))

    def work(where: Where, workspace: Workspace) -> tuple[Any, ...]:
        z = source.read(where, workspace)
        grad = source.gradient_of(where, z) if differentiate else None
        # Of a larger gradient a chunk's classes lie far apart: it takes a tenth longer than in memory of its own.
        into = None if apart is not None else z if resized else grad if len(parts) == 1 else None
        y = part_of(target, where)
        chunk = Chunk(formula, workspace, z, y, where, into)
        correct = None if counts is None else chunk.correct(z)
        again = partial(source.read, where, workspace)
        chunk.softmax(z, again)
        if terms is not None:
            terms[where] = chunk.term.view(z.shape[1:])
        as_it_came = chunk
        if apart is not None:
            as_it_came = Chunk(apart, workspace, z, y, where, name="plain")
            as_it_came.softmax(z, again)
        share = None
        if grad is not None and plain is not None:
            regions.write(as_it_came, grad, factor, None if as_it_came is chunk else chunk)
        elif grad is not None:
            chunk.write(grad, factor)
        if differentiate:
            share = source.share(where, z, workspace)
        region_sums = None if of_regions is None else regions.sums(as_it_came)
        return chunk.total, share, correct, None if counts is None else chunk.by_class(chunk.term), region_sums

    def finish(where: Where, made: tuple[Any, ...]) -> None:
        total, share, correct, by_class, region_sums = made
        totals.append(total)
        if share is not None:
            source.add(where, share)
        if of_regions is not None:
            of_regions[where[0]] += region_sums
        if counts is not None:
            counts.loss[where[0]] += by_class
            counts.predicted[where[0]] += correct[0]
            counts.correct[where[0]] += correct[1]

    elements = formula.cost * logits.shape[1] * target.numel()
    in_order(parts, elements, logits, work, finish)
    if grad_output is not None:
        return Result(None, source.gradient(), None)
    loss = _sum(totals, formula.weights) if terms is None else terms
    sums_of_regions = None if of_regions is None else of_regions.to(formula.compute)
    return Result(loss, source.gradient() if gradient else None, counts, sums_of_regions)


def _sum(totals: list[Tensor], like: Tensor) -> Tensor:
    if len(totals) == 1:
        return totals[0]
    return torch.stack(totals).sum() if totals else torch.zeros((), dtype=like.dtype, device=like.device)


def rescale(gradient: Tensor, factor: Tensor) -> None:
    if factor.device.type != "cpu" or factor.item() != 1:
        gradient.mul_(factor)


def predict(logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    compute = compute_dtype(logits)
    labels = torch.empty(len(logits), *size, dtype=label_dtype(logits.shape[1]), device=logits.device)
    source = _source(logits, size, align_corners, compute, False)

    def work(where: Where, workspace: Workspace) -> None:
        z = source.read(where, workspace)
        labels[where] = largest(z, workspace.take("e", z.shape, torch.empty(0, dtype=compute, device=z.device)))

    in_order(chunks(logits, size), logits.shape[1] * labels.numel(), logits, work, lambda where, made: None)
    return labels


def _source(logits: Tensor, size: torch.Size, align_corners: bool, compute: torch.dtype, differentiate: bool) -> Source:
    resize = bilinear(logits.shape[2:], size, align_corners)
    if resize is None:
        return Dense(logits, differentiate)
    return Resized(logits, resize, compute, differentiate)
