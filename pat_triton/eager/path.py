"""``pat_triton.problem.Path`` in plain torch."""

import torch
from torch import Tensor

from ..problem import Problem, Result, Tally, compute_dtype
from ..resize import Resize
from .chunk import Chunk, rows
from .count import count, largest
from .source import Dense, Resized, Source, chunks


def histogram(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    # Below the classes, the L classes, above them, ignored.
    def bins(labels: Tensor) -> Tensor:
        y = labels.long()
        return y.clamp(-1, classes).masked_fill_(y == ignore_index, classes + 1).add_(1)

    counts = count(target.new_zeros(len(target), classes + 3, dtype=torch.int64), bins, target)
    return torch.cat((counts[:, 1:-2], (counts[:, 0] + counts[:, -2])[:, None]), 1)


def confusion(target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
    def bins(labels: Tensor, predicted: Tensor) -> Tensor:
        return rows(labels, classes, ignore_index).mul_(classes).add_(predicted)

    counts = target.new_zeros(len(target), (classes + 2) * classes, dtype=torch.int64)
    return count(counts, bins, target, prediction).sum(0).view(classes + 2, classes)


def run(
    logits: Tensor, target: Tensor, problem: Problem, *,
    reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, tally: bool = False,
) -> Result:  # fmt: skip
    compute, size = problem.weights.dtype, target.shape[1:]
    differentiate = gradient or grad_output is not None
    source = _source(logits, problem.resize, compute, differentiate)
    factor = None if grad_output is None else grad_output.expand(target.shape)
    terms = None if reduce else torch.empty(target.shape, dtype=compute, device=target.device)
    counts = Tally.zeros(logits, compute) if tally else None
    chunk = Chunk(logits, problem)
    sums = []
    for b, where in chunks(logits, size):
        z = source.read(b, where)
        chunk.read(z, target[b][where], b, where, size, counts)
        term = chunk.softmax()
        if terms is not None:
            terms[b][where] = term.view(terms[b][where].shape)
        if grad_output is None:
            sums.append(term.sum())
        if differentiate:
            chunk.write(source.room(b, where), None if factor is None else factor[b][where])
            source.write(b, where)
        if counts is not None:
            counts.loss[b] += chunk.by_class(term)
    if grad_output is not None:
        return Result(None, source.gradient(), None)
    total = torch.stack(sums).sum() if sums else torch.zeros((), dtype=compute, device=logits.device)
    return Result(total if terms is None else terms, source.gradient() if gradient else None, counts)


def rescale(gradient: Tensor, factor: Tensor) -> None:
    if factor.device.type != "cpu" or factor.item() != 1:
        gradient.mul_(factor)


def predict(logits: Tensor, size: torch.Size, resize: Resize | None, dtype: torch.dtype) -> Tensor:
    compute = compute_dtype(logits)
    source = _source(logits, resize, compute, differentiate=False)
    labels = torch.empty(len(logits), *size, dtype=dtype, device=logits.device)
    for b, where in chunks(logits, size):
        z = source.read(b, where)
        labels[b][where] = largest(z, torch.empty_like(z, dtype=compute))
    return labels


def _source(logits: Tensor, resize: Resize | None, compute: torch.dtype, differentiate: bool) -> Source:
    if resize is None:
        return Dense(logits, differentiate)
    return Resized(logits, resize, compute, differentiate)
