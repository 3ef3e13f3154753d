"""The backends as ``torch.library`` operators: for tensors that hold no numbers, as when torch compiles.

They cost more at every call than what they stand for, so that eager calls go past them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import checks, private
from .adjustment import Noise
from .autograd import ONCE, times
from .backends import Backend, choose
from .curves import CURVES
from .inputs import ClassSums, LossInputs, Result, compute_dtype, label_dtype
from .numbers import pairs

Flat = tuple[Any, ...]

INPUTS = (
    "Tensor tables, Tensor? seed, Tensor? offset, Tensor? pixel_weight, Tensor? histogram, "
    "str[] rows, int first, str distribution, float sigma, str curve, float[] parameters, "
    "int ignore_index, bool align_corners, str backend"
)
TENSORS = 5  # of them, which come first


def route(backend: str, logits: Tensor) -> Backend:
    """The backend for these logits, or the operators that stand for it."""
    if private.in_transform():
        raise RuntimeError(
            "pat_triton does not run under torch.func transforms (grad, vmap, jvp, ...); take gradients with "
            "loss.backward() or torch.autograd.grad, and single images from reduction='none' or return_stats=True"
        )
    compiling = torch.compiler.is_compiling()
    if private.in_forward_mode() and (compiling or forward_ad.unpack_dual(logits).tangent is not None):
        raise RuntimeError("pat_triton has no forward-mode derivative; take gradients with loss.backward()")
    if compiling or logits.is_meta or private.is_fake(logits):
        return Operators(backend)
    return choose(backend, logits.device)


class Operators:
    """``pat_triton.backends.Backend`` by operators."""

    traced = True
    planned_histogram = planned_tables = planned_pass = planned_rescale = None

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def histogram(self, target: Tensor, classes: int, ignore_index: int) -> Tensor:
        return torch.ops.pat_triton.histogram(target, classes, ignore_index, self.backend)

    def run(
        self, logits: Tensor, target: Tensor, inputs: LossInputs, *,
        reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, sums: bool = False,
    ) -> Result:  # fmt: skip
        flat = _flat(inputs, self.backend)
        loss, _, *by_class = torch.ops.pat_triton.loss(logits, target, *flat, reduce, gradient, sums)
        return Result(loss, None, ClassSums(*(n.detach() for n in by_class)) if sums else None)

    def predict(self, logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
        return torch.ops.pat_triton.predict(logits, size, align_corners, self.backend)

    def confusion(self, target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
        return torch.ops.pat_triton.confusion(target, prediction, classes, ignore_index, self.backend)


def _flat(inputs: LossInputs, backend: str) -> Flat:
    noise = inputs.noise or Noise("", 0.0)
    checks.known("curve", inputs.curve.name, CURVES)
    return (
        inputs.tables, inputs.seed, inputs.offset, inputs.pixel_weight, inputs.histogram,
        list(inputs.rows), inputs.first, noise.distribution, noise.sigma, inputs.curve.name, inputs.curve.parameters,
        inputs.ignore_index, inputs.align_corners, backend,
    )  # fmt: skip


def _inputs(
    tables: Tensor, seed: Tensor | None, offset: Tensor | None, pixel_weight: Tensor | None,
    histogram: Tensor | None, rows: list[str], first: int, distribution: str, sigma: float, curve: str,
    parameters: list[float], ignore_index: int, align_corners: bool, backend: str,
) -> LossInputs:  # fmt: skip
    noise = Noise(distribution, sigma) if distribution else None
    made = CURVES[curve](*parameters)
    return LossInputs(
        made, pairs(made.parameters), tables, tuple(rows), first, noise, seed, ignore_index, align_corners, offset,
        pixel_weight, histogram,
    )  # fmt: skip


def _operator(schema: str, run: Any, fake: Any) -> Any:
    name, arguments = schema.split("(", 1)
    made = torch.library.custom_op(f"pat_triton::{name}", run, mutates_args=(), schema=f"({arguments}")
    made.register_fake(fake)
    return made


def _histogram(target: Tensor, classes: int, ignore_index: int, backend: str) -> Tensor:
    return choose(backend, target.device).histogram(target, classes, ignore_index)


def _fake_histogram(target: Tensor, classes: int, *_: Any) -> Tensor:
    return target.new_empty(target.shape[0], classes + 1, dtype=torch.int64)


def _loss(logits: Tensor, target: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    *flat, reduce, one_pass, sums = rest
    inputs = _inputs(*flat)
    if inputs.histogram is not None:
        checks.histogram(inputs.histogram, target, inputs.ignore_index)
    backend = choose(flat[-1], logits.device)
    loss, gradient, by_class = backend.run(logits, target, inputs, reduce=reduce, gradient=one_pass, sums=sums)
    assert loss is not None
    absent = [logits.new_empty(0) for _ in range(4)]
    gradient = absent[0] if gradient is None else gradient
    # An operator's results may not share memory.
    return loss, gradient, *(absent[1:] if by_class is None else (n.clone() for n in by_class))


def _fake_loss(logits: Tensor, target: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    reduce, one_pass, sums = rest[-3:]
    compute = compute_dtype(logits)
    by_class = [logits.new_empty(logits.shape[:2], dtype=d) for d in (compute, torch.int64, torch.int64)]
    return (
        logits.new_empty(() if reduce else target.shape, dtype=compute),
        torch.empty_like(logits) if one_pass else logits.new_empty(0),
        *(by_class if sums else (logits.new_empty(0) for _ in by_class)),
    )


def _gradient(grad_output: Tensor, logits: Tensor, target: Tensor, *flat: Any) -> Tensor:
    backend = choose(flat[-1], logits.device)
    gradient = backend.run(logits, target, _inputs(*flat), grad_output=grad_output).gradient
    assert gradient is not None
    return gradient


def _keep(ctx: Any, inputs: Flat, output: tuple[Tensor, ...]) -> None:
    logits, target, *flat, _, one_pass, _ = inputs
    tensors = [output[1]] if one_pass else [logits, target, *flat[:TENSORS]]
    ctx.one_pass, ctx.rest, ctx.inputs = one_pass, flat[TENSORS:], len(inputs)
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_output: Tensor | None, *others: Tensor | None) -> tuple[Tensor | None, ...]:
    if any(other is not None and other.numel() for other in others):
        raise RuntimeError(ONCE)
    gradient = None
    if grad_output is not None and ctx.one_pass:
        gradient = times(ctx.saved_tensors[0], grad_output)
    elif grad_output is not None:
        gradient = torch.ops.pat_triton.gradient(grad_output, *ctx.saved_tensors, *ctx.rest)
    return gradient, *(None,) * (ctx.inputs - 1)


def _once(ctx: Any, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    raise RuntimeError(ONCE)


def _predict(logits: Tensor, size: list[int], align_corners: bool, backend: str) -> Tensor:
    return choose(backend, logits.device).predict(logits, torch.Size(size), align_corners)


def _fake_predict(logits: Tensor, size: list[int], *_: Any) -> Tensor:
    return logits.new_empty(logits.shape[0], *size, dtype=label_dtype(logits.shape[1]))


def _confusion(target: Tensor, prediction: Tensor, classes: int, ignore_index: int, backend: str) -> Tensor:
    counts = choose(backend, target.device).confusion(target, prediction, classes, ignore_index)
    if checks.looks_at_labels(target.device):
        checks.counted(counts, target, ignore_index)
    return counts


def _fake_confusion(target: Tensor, _: Tensor, classes: int, *__: Any) -> Tensor:
    return target.new_empty(classes + 2, classes, dtype=torch.int64)


LOSS = f"(Tensor logits, Tensor target, {INPUTS}, bool reduce, bool one_pass, bool sums)"
GRADIENT = f"(Tensor grad_output, Tensor logits, Tensor target, {INPUTS})"
histogram = _operator(
    "histogram(Tensor target, int classes, int ignore_index, str backend) -> Tensor", _histogram, _fake_histogram
)
loss = _operator(f"loss{LOSS} -> (Tensor, Tensor, Tensor, Tensor, Tensor)", _loss, _fake_loss)
loss.register_autograd(_backward, setup_context=_keep)
gradient = _operator(f"gradient{GRADIENT} -> Tensor", _gradient, lambda _, logits, *__: torch.empty_like(logits))
gradient.register_autograd(_once)
predict = _operator(
    "predict(Tensor logits, SymInt[] size, bool align_corners, str backend) -> Tensor", _predict, _fake_predict
)
confusion = _operator(
    "confusion(Tensor target, Tensor prediction, int classes, int ignore_index, str backend) -> Tensor",
    _confusion,
    _fake_confusion,
)
OPERATORS = [histogram, loss, gradient, predict, confusion]
