"""Autograd meets a backend: when the gradient is made, and what a backward does with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from . import private
from .backends import Backend
from .inputs import LossInputs, Result

ONCE = (
    "pat_triton losses have no second derivative: the gradient was taken with create_graph=True "
    "and then differentiated (a gradient penalty?); leave the loss out of that term"
)

CHANGED = (
    "pat_triton: with create_graph=True the loss (with gradient='recompute' the logits) may not be changed in place "
    "before its gradient is taken, nor backward be called twice without retain_graph=True; for loss /= 2 write "
    "loss = loss / 2"
)


class Head:
    """What a plan does with one of its logits. run: (logits, target, inputs) -> Result.

    one_pass: ``run`` also writes the gradient, 1 read + 1 write of the logits. Otherwise the
    backward computes it with grad_output folded in before rounding, 2 reads + 1 write.
    differentiable: by ``Differentiable``; else no gradient is asked for, or ``run`` has its own.
    """

    def __init__(
        self, backend: Backend, run: Callable[[Tensor, Tensor, LossInputs], Result], one_pass: bool,
        differentiable: bool,
    ) -> None:  # fmt: skip
        self.backend, self.run, self.one_pass, self.differentiable = backend, run, one_pass, differentiable
        self.rescale: Callable[[Tensor, Tensor], None] = self._plan_rescale

    def _plan_rescale(self, gradient: Tensor, factor: Tensor) -> None:
        """In place by a scalar, which is planned when the first gradient is there."""
        self.rescale = self.backend.planned_rescale(gradient)
        self.rescale(gradient, factor)


Call = tuple[Head, Tensor, LossInputs]  # one call of it: and its target and inputs


class Differentiable(torch.autograd.Function):
    """(logits, call) -> the loss, () or (B, *spatial), differentiable once; and its sums by class."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Any:
        head, target, inputs = call
        loss, gradient, sums = head.run(logits, target, inputs)
        ctx.head = head
        if head.one_pass:
            # The gradient of one pass is handed on by the backward that takes it, to be added up without a copy. The
            # loss is saved for its history, the logits', which nothing keeps alive.
            ctx.gradient = gradient
            ctx.save_for_backward(loss)
        else:
            # What is the caller's is saved: autograd then sees if it is changed meanwhile, and lets it go.
            ctx.inputs = inputs._replace(pixel_weight=None)
            ctx.save_for_backward(logits, target, inputs.pixel_weight)
        if sums is None:
            return loss
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*sums)
        return loss, *sums

    @staticmethod
    def backward(ctx: Any, factor: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, None]:
        if factor is None:
            return None, None
        if not torch.is_grad_enabled():
            return _gradient(ctx, factor), None
        try:
            tie = ctx.saved_tensors[0]  # whose history is the logits', for a second derivative to find
        except RuntimeError as error:
            raise RuntimeError(CHANGED) from error
        with torch.no_grad():
            gradient = _gradient(ctx, factor)
        return _Once.apply(gradient, tie), None


# (logits, call), where no transform of torch.func is active.
differentiable: Callable[..., tuple[Tensor, ...]] = private.apply_of(Differentiable)


def _gradient(ctx: Any, factor: Tensor) -> Tensor:
    head = ctx.head
    batched = private.is_batched(factor)
    if head.one_pass:
        gradient = ctx.gradient
        if gradient is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time, but the gradient was handed on the first time. "
                "Specify retain_graph=True where backward is called before"
            )
        if batched or private.keeps_graph():  # only the last backward through a graph may write to what it kept
            return times(gradient, factor)
        ctx.gradient = None
        if factor.ndim:
            return gradient.mul_(factor.unsqueeze(1))
        head.rescale(gradient, factor)
        return gradient
    if batched:
        raise RuntimeError(
            "pat_triton: several gradients at once (is_grads_batched, vectorize=True) need "
            "gradient='one_pass', or take them one by one"
        )
    logits, target, pixel_weight = ctx.saved_tensors
    inputs = ctx.inputs._replace(pixel_weight=pixel_weight)
    made = head.backend.run(logits, target, inputs, grad_output=factor).gradient
    assert made is not None
    return made


def times(gradient: Tensor, factor: Tensor) -> Tensor:
    """gradient (B, L, *spatial) * factor, () or (B, *spatial), in the gradient's dtype: a new tensor."""
    return (gradient * (factor.unsqueeze(1) if factor.ndim else factor)).to(gradient.dtype)


class _Once(torch.autograd.Function):
    """The identity on a gradient made under create_graph=True; any use of its own gradient raises.

    ``once_differentiable`` would not do: where grad_output needs no gradient it returns a constant,
    and a gradient penalty is silently lost.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, gradient: Tensor, tie: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        raise RuntimeError(ONCE)
