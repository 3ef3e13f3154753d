"""``pat_triton.backends.Backend`` in plain torch."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..inputs import ClassSums, Ignored, LossInputs, Result, compute_dtype, label_dtype
from ..resize import resize
from .chunk import Chunk, is_ignored, rows
from .count import count, largest
from .room import Room, borrowed
from .source import Dense, Resized, Source, chunks

planned_histogram = planned_tables = planned_pass = None  # by operators, see ``pat_triton.weights``


def planned_rescale(_: Tensor) -> Callable[[Tensor, Tensor], None]:
    return rescale


def histogram(target: Tensor, classes: int, ignored: Ignored) -> Tensor:
    # Below the classes, the L classes, above them, ignored.
    def bins(labels: Tensor) -> Tensor:
        y = labels.long()
        return y.clamp(-1, classes).masked_fill_(is_ignored(y, ignored), classes + 1).add_(1)

    counts = count(target.new_zeros(len(target), classes + 3, dtype=torch.int64), bins, target)
    return torch.cat((counts[:, 1:-2], (counts[:, 0] + counts[:, -2])[:, None]), 1)


def confusion(target: Tensor, prediction: Tensor, classes: int, ignored: Ignored) -> Tensor:
    def bins(labels: Tensor, predicted: Tensor) -> Tensor:
        return rows(labels, classes, ignored).mul_(classes).add_(predicted)

    counts = target.new_zeros(len(target), (classes + 2) * classes, dtype=torch.int64)
    return count(counts, bins, target, prediction).sum(0).view(classes + 2, classes)


def run(
    logits: Tensor, target: Tensor, inputs: LossInputs, *,
    reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, sums: bool = False,
) -> Result:  # fmt: skip
    compute, size = compute_dtype(logits), target.shape[1:]
    differentiate = gradient or grad_output is not None
    factor = None if grad_output is None else grad_output.expand(target.shape)
    terms = None if reduce else torch.empty(target.shape, dtype=compute, device=target.device)
    counts = ClassSums.zeros(logits, compute) if sums else None
    totals = []
    with borrowed(logits) as room:
        source = _source(logits, size, inputs.align_corners, compute, differentiate, room)
        chunk = Chunk(logits, inputs, room)
        for where in chunks(logits, size):
            z = source.read(where)
            chunk.read(z, target[where], where, size, counts)
            chunk.softmax()
            totals.append(chunk.total)
            if terms is not None:
                terms[where] = chunk.term.view(z.shape[1:])
            if differentiate:
                chunk.write(source.room(where), None if factor is None else factor[where])
                source.write(where)
            if counts is not None:
                counts.loss[where[0]] += chunk.by_class(z.shape[1])
    if grad_output is not None:
        return Result(None, source.gradient(), None)
    total = totals[0] if len(totals) == 1 else torch.stack([*totals, logits.new_zeros((), dtype=compute)]).sum()
    return Result(total if terms is None else terms, source.gradient() if gradient else None, counts)


def rescale(gradient: Tensor, factor: Tensor) -> None:
    if factor.device.type != "cpu" or factor.item() != 1:
        gradient.mul_(factor)


def predict(logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    compute = compute_dtype(logits)
    labels = torch.empty(len(logits), *size, dtype=label_dtype(logits.shape[1]), device=logits.device)
    with borrowed(logits) as room:
        source = _source(logits, size, align_corners, compute, False, room)
        for where in chunks(logits, size):
            z = source.read(where)
            labels[where] = largest(z, torch.empty_like(z, dtype=compute))
    return labels


def _source(
    logits: Tensor, size: torch.Size, align_corners: bool, compute: torch.dtype, differentiate: bool, room: Room
) -> Source:
    how = resize(logits.shape[2:], size, align_corners)
    if how is None:
        return Dense(logits, differentiate)
    return Resized(logits, how, compute, differentiate, room)
