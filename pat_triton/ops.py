"""Autograd meets a path: when the gradient is made, and what a backward does with it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from .problem import Path, Problem, Tally

ONCE = (
    "pat_triton losses have no second derivative: the gradient was taken with create_graph=True "
    "and then differentiated (a gradient penalty?); leave the loss out of that term"
)


def apply(
    path: Path, logits: Tensor, target: Tensor, problem: Problem, *, reduce: bool, one_pass: bool, tally: bool
) -> tuple[Tensor, Tally | None]:
    """The loss: () if ``reduce``, else (B, *spatial), differentiable once in ``logits``; and its ``tally``.

    one_pass: the forward writes the gradient, 1 read + 1 write of the logits. Otherwise the
    backward computes it with grad_output folded in before rounding, 2 reads + 1 write.
    """
    differentiate = logits.requires_grad and torch.is_grad_enabled()
    if differentiate and not path.traced:
        loss, _, *counts = _Loss.apply(logits, target, problem, path, reduce, one_pass, tally)
        return loss, Tally(*counts) if tally else None
    loss, _, counted = path.run(
        logits, target, problem, reduce=reduce, gradient=differentiate and one_pass, tally=tally
    )
    assert loss is not None
    return loss, counted


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, problem: Problem, path: Path,
        reduce: bool, one_pass: bool, tally: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        loss, gradient, counted = path.run(logits, target, problem, reduce=reduce, gradient=one_pass, tally=tally)
        # An empty output whose history is the logits': what a second derivative is tied to, without
        # keeping the logits alive.
        tie = logits.new_empty(0)
        # What is the caller's is saved, although the problem has it: autograd then sees if it is changed meanwhile.
        ctx.save_for_backward(tie, *((gradient,) if one_pass else (logits, target, problem.pixel_weight)))
        ctx.problem, ctx.path, ctx.one_pass = problem, path, one_pass
        ctx.set_materialize_grads(False)
        assert loss is not None
        counts = () if counted is None else tuple(counted)
        ctx.mark_non_differentiable(*counts)
        return loss, tie, *counts

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        tie, *saved = ctx.saved_tensors
        if grad_output is None:
            return (None,) * 7
        with torch.no_grad():
            if ctx.one_pass:
                gradient = _scaled(ctx.path, saved[0], grad_output)
            else:
                if _batched(grad_output):
                    raise RuntimeError(
                        "pat_triton: several gradients at once (is_grads_batched, vectorize=True) need "
                        "gradient='one_pass', or take them one by one"
                    )
                gradient = ctx.path.run(*saved[:2], ctx.problem, grad_output=grad_output).gradient
        if torch.is_grad_enabled():
            gradient = _Once.apply(gradient, tie)
        return gradient, None, None, None, None, None, None


def _batched(factor: Tensor) -> bool:
    return torch._C._functorch.is_batchedtensor(factor) or torch._C._functorch.is_legacy_batchedtensor(factor)


def times(gradient: Tensor, factor: Tensor) -> Tensor:
    """gradient (B, L, *spatial) * factor, () or (B, *spatial), in the gradient's dtype: a new tensor."""
    return (gradient * (factor.unsqueeze(1) if factor.ndim else factor)).to(gradient.dtype)


def _scaled(path: Path, gradient: Tensor, factor: Tensor) -> Tensor:
    """gradient * factor: in place if this is the last backward through the graph, else a new tensor."""
    if torch._C._autograd._get_current_graph_task_keep_graph() or _batched(factor):
        return times(gradient, factor)
    if factor.ndim:
        gradient.mul_(factor.unsqueeze(1))
    else:
        path.rescale(gradient, factor)
    return gradient


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
