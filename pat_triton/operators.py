"""What a graph of torch.compile or torch.export holds of a call: one ``torch.library`` operator each way.

``forward`` makes everything that a plan makes, from tables and histogram to loss, gradients and statistics; ``backward``
the gradients that forward did not. Neither changes what it is given, and both are defined the cheapest way, without an
autograd of their own: that is ``pat_triton.autograd``'s, which is traced with them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import checks, private, settings
from .backends import choose, runs_kernels
from .inputs import label_dtype
from .kinds import Cache, kinds
from .numbers import FIXED
from .plan import Call, Executed, Outcome, Plan, gradients, lead_rows
from .prepare import Prepared
from .settings import Parts
from .statistics import Statistics

plans, backward_plans = Cache(128), Cache(128)
_last: dict[str, tuple[Tensor, Parts]] = {}


class Traced(Plan):
    """By the operators, for tensors that hold no numbers yet."""

    traced = True

    def run(self, parts: Parts, call: Call, heads: Sequence[Tensor]) -> Outcome:
        settings, prepared = parts.settings, call.prepared
        made = list(
            torch.ops.pat_triton.forward(
                heads, call.target, call.numbers, call.class_counts, call.weight, call.mask_sizes, call.pixel_weight,
                [] if prepared is None else prepared.tensors, call.factors, self.in_forward, self.keeps,
                call.return_stats, settings.text,
            )
        )  # fmt: skip
        loss = made.pop(0)
        statistics = Statistics(*(made.pop(0) for _ in range(4))) if call.return_stats else None
        gradients = [made.pop(0) if early else None for early in self.in_forward]
        if prepared is not None:
            made += [t for t in (prepared.seeds, prepared.offset) if t is not None]
        # Kernels find the numbers in the tables.
        numbers = None if runs_kernels(settings.backend, call.target.device) else call.numbers
        return Outcome(loss, gradients, statistics, (numbers, made))

    def gradients(
        self, parts: Parts, prepared: Any, heads: Sequence[Tensor], target: Tensor, pixel_weight: Tensor | None,
        factor: Tensor, wanted: Sequence[bool],
    ) -> Sequence[Tensor | None]:  # fmt: skip
        numbers, kept = prepared
        text = parts.settings.text
        made = iter(
            torch.ops.pat_triton.backward(factor, heads, target, numbers, pixel_weight, kept, wanted, text)
        )
        return [next(made) if want else None for want in wanted]


def parts_of(numbers: Tensor | None, text: str) -> Parts:
    """Options as operators take them: numbers on a CPU are read at every call, and those on a GPU by kernels."""
    if numbers is None:
        return settings.read(text, None)
    last, parts = _last.get(text, (None, None))
    if last is not numbers or parts is None:  # numbers are replaced, never changed
        parts = settings.read(text, tuple(numbers.tolist()) if numbers.device.type == "cpu" else None)
        _last[text] = numbers, parts
    return parts


def _forward(
    heads: list[Tensor], target: Tensor, numbers: Tensor, class_counts: Tensor | None, weight: Tensor | None,
    mask_sizes: Tensor | None, pixel_weight: Tensor | None, tensors: list[Tensor], factors: list[float],
    in_forward: list[bool], keeps: bool, return_stats: bool, text: str,
) -> list[Tensor]:  # fmt: skip
    parts = parts_of(numbers, text)
    prepared = Prepared.of(parts, tensors, heads[0].shape[1]) if tensors else None
    call = Call(
        heads, factors, target, return_stats, class_counts, weight, mask_sizes, pixel_weight, prepared, numbers
    )
    kind = kinds((*heads, target, class_counts, weight, mask_sizes, pixel_weight))
    key = None
    if kind is not None and prepared is None:
        key = parts.way, len(heads), return_stats, tuple(in_forward), keeps, private.validated(), kind
    plan = None if key is None else plans.get(key)
    if plan is None:
        plan = Executed(parts, call, in_forward, keeps)
        if key is not None:
            plans.put(key, plan)
    loss, gradients, statistics, kept = plan.run(parts, call, heads)
    made = [loss, *gradients] if statistics is None else [loss, *statistics, *gradients]
    if not all(in_forward):
        made = [t for t in made if t is not None]
    if keeps:
        made.append(kept.tables.clone() if tensors and kept.tables is tensors[0] else kept.tables)
        if kept.seeds is not None and prepared is None:
            made.append(kept.seeds)
    return made


def _fake_forward(heads: list[Tensor], target: Tensor, numbers: Tensor, *rest: Any) -> list[Tensor]:
    tensors, _, in_forward, keeps, return_stats, text = rest[4:]
    s, logits = settings.read(text, None).settings, heads[0]
    compute = torch.float64 if any(z.dtype == torch.float64 for z in heads) else torch.float32
    B, L = logits.shape[:2]
    made = [logits.new_empty(() if s.reduce else target.shape, dtype=compute)]
    if return_stats:
        made += [logits.new_empty((B, L), dtype=dtype) for dtype in (compute, *(torch.int64,) * 3)]
    made += [torch.empty_like(z) for z, early in zip(heads, in_forward, strict=True) if early]
    if keeps:
        lead = lead_rows(len(numbers) - FIXED, L) if runs_kernels(s.backend, logits.device) else 0
        made.append(logits.new_empty((lead + len(s.rows) + len(heads) * B, L), dtype=compute))
        if s.distribution is not None and not tensors:
            made.append(logits.new_empty(2 * len(heads), dtype=torch.int64))
    return made


def _backward(
    grad_output: Tensor, heads: list[Tensor], target: Tensor, numbers: Tensor | None, pixel_weight: Tensor | None,
    kept: list[Tensor], wanted: list[bool], text: str,
) -> list[Tensor]:  # fmt: skip
    tables, seeds, offset = (*kept, None, None)[:3]
    kind = kinds((grad_output, *heads, target, pixel_weight, tables))
    key = text, len(heads), kind
    passes = None if kind is None or numbers is not None else backward_plans.get(key)
    if passes is None:
        parts, (images, classes) = parts_of(numbers, text), heads[0].shape[:2]
        lead = 0 if numbers is not None else lead_rows(parts.parameters, classes)
        prepared = Prepared(tables, parts.settings.rows, parts.noise(classes), seeds, offset, None, lead)
        inputs = prepared.inputs(parts, images, len(heads), pixel_weight)
        backend = choose(parts.settings.backend, grad_output.device)
        if numbers is not None:
            return [g for g in gradients(backend, inputs, heads, target, grad_output, wanted) if g is not None]
        passes = [
            backend.planned_pass(z, target, own, reduce=True, gradient=True, sums=False, grad_output=grad_output)
            for z, own in zip(heads, inputs, strict=True)
        ]
        if kind is not None:
            backward_plans.put(key, passes)
    each = (seeds,) * len(heads) if seeds is None or len(heads) == 1 else seeds.split(2)
    return [
        run(z, target, tables, seed, offset, pixel_weight, grad_output).gradient
        for run, z, seed, want in zip(passes, heads, each, wanted, strict=True)
        if want
    ]


def _fake_backward(_: Tensor, heads: list[Tensor], *rest: Any) -> list[Tensor]:
    return [torch.empty_like(z) for z, want in zip(heads, rest[-2], strict=True) if want]


def _histogram(target: Tensor, classes: int, ignore_index: int, backend: str) -> Tensor:
    return choose(backend, target.device).histogram(target, classes, ignore_index)


def _fake_histogram(target: Tensor, classes: int, *_: Any) -> Tensor:
    return target.new_empty(target.shape[0], classes + 1, dtype=torch.int64)


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


class Evaluation:
    """Of ``pat_triton.backends.Backend`` what evaluation and shared counts need, by operators."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def histogram(self, target: Tensor, classes: int, ignore_index: int) -> Tensor:
        return torch.ops.pat_triton.histogram(target, classes, ignore_index, self.backend)

    def predict(self, logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
        return torch.ops.pat_triton.predict(logits, size, align_corners, self.backend)

    def confusion(self, target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
        return torch.ops.pat_triton.confusion(target, prediction, classes, ignore_index, self.backend)


LIBRARY = torch.library.Library("pat_triton", "DEF")
OPERATORS: list[str] = []


def _operator(schema: str, run: Any, fake: Any, *tags: torch.Tag) -> None:
    name = LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag, *tags))
    LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"pat_triton::{name}", fake, lib=LIBRARY)
    OPERATORS.append(name)


_operator(
    "forward(Tensor[] heads, Tensor target, Tensor numbers, Tensor? class_counts, Tensor? weight, Tensor? mask_sizes, "
    "Tensor? pixel_weight, Tensor[] prepared, float[] factors, bool[] in_forward, bool keeps, bool return_stats, "
    "str settings) -> Tensor[]",
    _forward,
    _fake_forward,
    torch.Tag.nondeterministic_seeded,  # it draws the noise's keys
)
_operator(
    "backward(Tensor grad_output, Tensor[] heads, Tensor target, Tensor? numbers, Tensor? pixel_weight, Tensor[] kept, "
    "bool[] wanted, str settings) -> Tensor[]",
    _backward,
    _fake_backward,
)
_operator(
    "histogram(Tensor target, int classes, int ignore_index, str backend) -> Tensor", _histogram, _fake_histogram
)
_operator(
    "predict(Tensor logits, SymInt[] size, bool align_corners, str backend) -> Tensor", _predict, _fake_predict
)
_operator(
    "confusion(Tensor target, Tensor prediction, int classes, int ignore_index, str backend) -> Tensor",
    _confusion,
    _fake_confusion,
)
