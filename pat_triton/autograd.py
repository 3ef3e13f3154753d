"""Autograd meets a plan: when the gradients are made, and what a backward does with them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from . import private

ONCE = (
    "pat_triton losses have no second derivative: the gradient was taken with create_graph=True "
    "and then differentiated (a gradient penalty?); leave the loss out of that term"
)

CHANGED = (
    "pat_triton: with create_graph=True the loss (with gradient='recompute' the logits) may not be changed in place "
    "before its gradient is taken, nor backward be called twice without retain_graph=True; for loss /= 2 write "
    "loss = loss / 2"
)


class Differentiable(torch.autograd.Function):
    """(plan, parts, call, *heads) -> the loss, () or (B, *spatial), differentiable once; and its statistics.

    The same for tensors of a step and for those of a graph that is traced: the plan executes or is traced.
    """

    @staticmethod
    def forward(ctx: Any, plan: Any, parts: Any, call: Any, *heads: Tensor) -> Any:
        loss, gradients, statistics, prepared = plan.run(parts, call, heads)
        ctx.plan = plan
        # The gradients of one pass are handed on by the backward that takes them, to be added up without a copy.
        ctx.gradients = gradients
        if not plan.keeps:
            # The loss is saved for its history, the logits', which nothing keeps alive.
            ctx.save_for_backward(loss)
        else:
            # What is the caller's is saved: autograd then sees if it is changed meanwhile, and lets it go.
            ctx.parts, ctx.prepared = parts, prepared
            ctx.save_for_backward(*heads, call.target, call.pixel_weight)
        if statistics is None:
            return loss
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*statistics)
        return loss, *statistics

    @staticmethod
    def backward(ctx: Any, factor: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        if factor is None:
            return None, None, None, *(None,) * len(ctx.plan.graph)
        if not torch.is_grad_enabled():
            return None, None, None, *(_gradients if ctx.plan.keeps else _scaled)(ctx, factor)
        try:
            # Whose history is the logits', for a second derivative to find.
            ties = ctx.saved_tensors if len(ctx.saved_tensors) > 1 else ctx.saved_tensors * len(ctx.plan.graph)
        except RuntimeError as error:
            raise RuntimeError(CHANGED) from error
        with torch.no_grad():
            made = (_gradients if ctx.plan.keeps else _scaled)(ctx, factor)
        return None, None, None, *(g if g is None else _Once.apply(g, tie) for g, tie in zip(made, ties, strict=False))


# Where no transform of torch.func is active.
differentiable: Callable[..., Any] = private.apply_of(Differentiable)


def _gradients(ctx: Any, factor: Tensor) -> Sequence[Tensor | None]:
    """Those that forward made, scaled, and the others, which are made here."""
    plan = ctx.plan
    if private.is_batched(factor):
        raise RuntimeError(
            "pat_triton: several gradients at once (is_grads_batched, vectorize=True) need "
            "gradient='one_pass', or take them one by one"
        )
    *heads, target, pixel_weight = ctx.saved_tensors
    made = plan.gradients(ctx.parts, ctx.prepared, heads, target, pixel_weight, factor, plan.late)
    if not any(plan.in_forward):
        return made
    early = _scaled(ctx, factor)
    return [a if b is None else b for a, b in zip(early, made, strict=True)]


def _scaled(ctx: Any, factor: Tensor) -> Sequence[Tensor | None]:
    """The gradients that forward made, times ``factor``."""
    plan, gradients = ctx.plan, ctx.gradients
    if gradients is None:
        raise RuntimeError(
            "Trying to backward through the graph of a pat_triton loss a second time, but its gradient is not kept. "
            "Pass retain_graph=True to the first backward"
        )
    # Only the last backward through a graph may write to what it kept, and none in a graph that is traced.
    if plan.traced or private.is_batched(factor) or private.keeps_graph():
        return [None if g is None else times(g, factor) for g in gradients]
    ctx.gradients = None
    for number, gradient in enumerate(gradients):
        if gradient is None:
            continue
        if factor.ndim:
            gradient.mul_(factor.unsqueeze(1))
        else:
            plan.rescale(number, gradient, factor)
    return gradients


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
