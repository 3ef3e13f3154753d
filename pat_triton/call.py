"""The call of a loss: by the plan of its kind, made where there is none yet; or as one operator of a graph.

Plans are kept for the kinds of call that came lately. Parts of the user's own, batches that lie on several processes,
and tensors without numbers are planned anew at every call.
"""

import json
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import checks, private
from .backends.choose import choose, forget_launches
from .inputs import table_dtype
from .kinds import Cache, kinds
from .numbers import FIXED, Numbers
from .operators import LIBRARY, Evaluation, Traced, fixed, read_options
from .plan import Call, Executed, Plan
from .prepare import Prepared, label_counts, prepare
from .settings import Parts, Settings
from .statistics import Statistics

if TYPE_CHECKING:
    from .base import Criterion

plans = Cache(128)


def forget() -> None:
    """Forget all plans, as after tiles were changed."""
    plans.clear()
    fixed.cache_clear()
    forget_launches()


def call(parts: Parts, given: Call) -> Any:
    """The loss, and its ``Statistics`` where they are asked for."""
    key: Hashable | None = None
    modes = private.modes()
    heads, _, target, return_stats, *others, _, _, region_weights = given
    if parts.way is not None and modes and target is not None and return_stats.__class__ is bool:
        tensors = kinds((*heads, target, *others, *region_weights))
        if tensors is not None:
            key = parts.way, len(heads), return_stats, modes, tensors
    if key is None:
        given = given._replace(
            heads=[private.plain(head) for head in heads], target=private.plain(target),
            mask_sizes=private.plain(given.mask_sizes), pixel_weight=private.plain(given.pixel_weight),
        )  # fmt: skip
    plan = None if key is None else plans.get(key)
    if plan is None:
        plan = _plan(parts, given)
        if isinstance(plan, Traced) and given.numbers is None:
            given = given._replace(numbers=torch.tensor(parts.numbers.flat, dtype=torch.float64, device="cpu"))
        if key is not None and not isinstance(plan, Traced) and not private.is_faking():
            plans.put(key, plan)
    return plan(parts, given)


def _plan(parts: Parts, given: Call) -> Plan:
    refuse_transforms(given.heads)
    first = given.heads[0]
    traced = isinstance(first, Tensor) and not private.has_numbers(first)
    return (Traced if traced else Executed)(parts, given)


NO_TANGENTS = "pat_triton has no forward-mode derivative; take gradients with loss.backward()"


def refuse_transforms(heads: Sequence[Any]) -> None:
    """RuntimeError for what torch.func and forward-mode differentiation would silently get wrong."""
    if private.in_transform():
        raise RuntimeError(
            "pat_triton does not run under torch.func transforms (grad, vmap, jvp, ...); take gradients with "
            "loss.backward() or torch.autograd.grad, and for single images use reduction='none' or return_stats=True"
        )
    if private.in_forward_mode():
        tensors = (head for head in heads if isinstance(head, Tensor))
        if torch.compiler.is_compiling() or any(forward_ad.unpack_dual(z).tangent is not None for z in tensors):
            raise RuntimeError(NO_TANGENTS)


def route(backend: str, logits: Tensor) -> Any:
    """What evaluates these logits: a backend, or operators where they hold no numbers."""
    refuse_transforms((logits,))
    traced = torch.compiler.is_compiling() or not private.has_numbers(logits)
    return Evaluation(backend) if traced else choose(backend, logits.device)


# In a graph ----------------------------------------------------------------------------------------------------------


def traced_call(
    c: "Criterion", options: dict[str, Any], logits: Any, target: Tensor, return_stats: bool = False, *,
    weights: Sequence[float] | None = None, mask_sizes: Tensor | None = None, pixel_weight: Tensor | None = None,
) -> Any:  # fmt: skip
    """``call`` while torch compiles: as little as it can, for torch asks at every call whether what is read here is as
    it was. Numbers that change from step to step are in ``c.numbers``, an input of the graph. options: of this call, in
    place of the criterion's, see ``SegmentationLoss.but``."""
    if forward_ad._current_level >= 0:
        raise RuntimeError(NO_TANGENTS)
    heads: Any = [logits] if isinstance(logits, Tensor) else logits
    factors: Any = [1.0] * len(heads)
    if weights is not None:
        checks.weights_of_heads(logits, weights)
    if not isinstance(target, Tensor) or not isinstance(heads[0], Tensor) or not isinstance(return_stats, bool):
        checks.kinds(heads[0], target, return_stats)
    first, *regions = c.losses
    class_counts, class_weight, region_weights = c.tables
    text, by_torch = first.said[1 if options.get("training", c.training) else 0]  # a bool is no index for torch 2.11
    other = []
    for name in ("ignore_index", "reduction", "align_corners"):
        if name in options:
            other += [name, str(options[name])]
    if by_torch and other:
        raise RuntimeError(
            f"{other[0]}: got {other[1]} for one call of a loss with parts of your own or a process_group, which "
            f"torch.compile does not take; assign criterion.{other[0]} before"
        )
    if regions:
        checks.agree(c.losses)
    for region in regions:
        other += ["regions", region.region_text]
    numbers, there = first.numbers, first.numbers_there
    if there is not None and there.device == heads[0].device and first.backend != "torch":
        numbers = there
    if weights is not None:
        one = torch.ones_like(numbers[:1])
        for weight in weights:
            checks.without_gradient("weights", weight, "each of them")
        factors = [one * weight for weight in weights]
    prepared: Any = [], [], None
    if by_torch:
        numbers, *prepared = _prepare(first, numbers, heads, factors, target, mask_sizes, pixel_weight)
    if weights is not None:  # they come after the others
        numbers, factors = torch.cat((numbers, *factors)), []
    made = LOSS(
        heads, target, numbers, class_counts, class_weight, mask_sizes, pixel_weight, region_weights, *prepared,
        factors, return_stats, text, other,
    )  # fmt: skip
    return (made[0], Statistics(*made[1:])) if return_stats else made[0]


def _prepare(
    c: Any, numbers: Tensor, heads: Sequence[Tensor], factors: Sequence[float], target: Tensor,
    mask_sizes: Tensor | None, pixel_weight: Tensor | None,
) -> tuple[Any, ...]:  # fmt: skip
    """The numbers, and what torch's operators make, in the graph, of parts and processes that no kernel knows."""
    parts = c.parts[1 if c.training else 0]
    arguments = Call(heads, factors, target, False, c.class_counts, c.weight, mask_sizes, pixel_weight)
    target, _ = checks.call(parts.settings, arguments)
    classes, ignored = heads[0].shape[1], parts.settings.ignored
    labels = label_counts(
        parts, lambda: Evaluation(c.backend).histogram(target, classes, ignored), target, classes, ignored,
        counts=c.class_counts, weight=c.weight, mask_sizes=mask_sizes,
    )  # fmt: skip
    made = prepare(parts, Numbers.of(numbers.unbind()), labels, factors, table_dtype(heads), True)
    if made.noise is None:
        return numbers, made.tensors, made.rows, None
    sigma = torch.as_tensor(made.noise.sigma, dtype=torch.float64, device=numbers.device)
    numbers = torch.cat((numbers[: FIXED - 1], sigma[None], numbers[FIXED:]))
    return numbers, made.tensors, made.rows, made.noise.distribution


def _loss(
    heads: list[Tensor], target: Tensor, numbers: Tensor, class_counts: Tensor | None, weight: Tensor | None,
    mask_sizes: Tensor | None, pixel_weight: Tensor | None, region_weights: list[Tensor | None],
    tensors: list[Tensor], rows: list[str],
    distribution: str | None, factors: list[float], return_stats: bool, text: str,
    other: list[str],
) -> list[Tensor]:  # fmt: skip
    settings, prepared = Settings.of(json.loads(text)).but(other), None
    if tensors:
        settings = settings._replace(numerator=None, rows=tuple(rows), distribution=distribution)
    parts, each = read_options(settings, factors, len(heads), numbers if private.has_numbers(heads[0]) else None)
    if tensors:
        prepared = Prepared.of(parts, tensors, heads[0].shape[1])
    given = Call(
        heads, each, target, return_stats, class_counts, weight, mask_sizes, pixel_weight, prepared, numbers,
        region_weights,
    )  # fmt: skip
    made = call(parts, given)
    return [made[0], *made[1]] if return_stats else [made]


# Traced away: a graph holds the operators that it is made of.
LIBRARY.define(
    "loss(Tensor[] heads, Tensor target, Tensor numbers, Tensor? class_counts, Tensor? weight, Tensor? mask_sizes, "
    "Tensor? pixel_weight, Tensor?[] region_weights, Tensor[] prepared, str[] rows, str? distribution, "
    "float[] factors, bool return_stats, str settings, str[] other) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.impl("loss", _loss, "CompositeImplicitAutograd")
LOSS = torch.ops.pat_triton.loss.default
