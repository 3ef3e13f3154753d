"""What a graph of torch.compile or torch.export holds of a call: one ``torch.library`` operator each way.

``forward`` makes everything that a plan makes, from histogram and tables to loss, gradients and statistics;
``backward`` the gradients that forward did not. Neither changes what it is given, and both are defined the cheapest
way, without an autograd of their own: that is ``pat_triton.autograd``'s, which is traced with them.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from . import checks, private
from .backends.choose import choose, runs_kernels
from .inputs import Ignored, compute_dtype, label_dtype, table_dtype
from .kinds import Cache, kinds
from .plan import Call, Executed, Outcome, Plan, gradients, late, lead_rows
from .prepare import Prepared
from .regions import DERIVATIVES, SUMS
from .settings import Parts, Settings, read
from .statistics import Statistics


class Fixed:
    """What of a call is fixed in a graph, one line of text there: the settings, and how the plan was traced.

    It keeps the plans of the kinds of call that the graph, or another with the same text, came to.
    """

    def __init__(
        self, settings: Settings, factors: Sequence[float], graph: Sequence[bool], in_forward: Sequence[bool],
        return_stats: bool,
    ) -> None:  # fmt: skip
        self.settings, self.factors, self.return_stats = settings, list(factors), return_stats
        self.graph, self.in_forward, self.late = tuple(graph), tuple(in_forward), late(graph, in_forward)
        self.keeps = any(self.late)
        self.plans, self.backward_passes = Cache(32), Cache(32)
        self._untold = read(settings, None), self.factors
        self._seen: Any = None, self._untold

    @property
    def text(self) -> str:
        """Its version is for torch's caches: they keep what an operator was traced to."""
        from . import __version__

        said = {name: getattr(self, name) for name in ("factors", "graph", "in_forward", "return_stats")}
        return json.dumps({"pat_triton": __version__, "settings": self.settings._asdict(), **said})

    def options_of(self, numbers: Tensor | None) -> tuple[Parts, Sequence[float]]:
        """As ``read_options`` below; what the last numbers said is kept."""
        if numbers is None or numbers.device.type != "cpu":
            return self._untold
        seen, made = self._seen
        if seen is not numbers:  # numbers are replaced, never changed
            made = read_options(self.settings, self.factors, len(self.graph), numbers)
            self._seen = numbers, made
        return made


def read_options(
    settings: Settings, factors: Sequence[float], heads: int, numbers: Tensor | None
) -> tuple[Parts, Sequence[float]]:
    """The options, and the factors of the heads, which are the last of the numbers where there are none. Numbers on a
    CPU are read here, at every call, and those on a GPU by kernels."""
    if numbers is None or numbers.device.type != "cpu":
        return read(settings, None), factors
    flat = numbers.tolist()
    return read(settings, tuple(flat if factors else flat[:-heads])), factors or flat[-heads:]


@lru_cache(256)
def fixed(text: str) -> Fixed:
    said = json.loads(text)
    settings = Settings.of(said["settings"])
    return Fixed(settings, said["factors"], said["graph"], said["in_forward"], said["return_stats"])


class Traced(Plan):
    """By the operators, for tensors that hold no numbers yet."""

    traced = True

    def __init__(self, parts: Parts, call: Call) -> None:
        super().__init__(parts, call)
        self.text = Fixed(parts.settings, call.factors, self.graph, self.in_forward, call.return_stats).text

    def run(self, parts: Parts, call: Call, heads: Sequence[Tensor]) -> Outcome:
        prepared = call.prepared
        made = list(
            torch.ops.pat_triton.forward(
                heads, call.target, call.numbers, call.class_counts, call.weight, call.mask_sizes, call.pixel_weight,
                call.region_weights, None if prepared is None else prepared.tensors, self.text,
            )
        )  # fmt: skip
        loss = made.pop(0)
        statistics = Statistics(*(made.pop(0) for _ in range(4))) if call.return_stats else None
        gradients = [made.pop(0) if early else None for early in self.in_forward]
        if prepared is not None:
            made += [t for t in (prepared.seeds, prepared.offset) if t is not None]
        # Kernels find the numbers in the tables.
        numbers = None if runs_kernels(parts.settings.backend, call.target.device) else call.numbers
        return loss, gradients, statistics, (numbers, made)

    def gradients(
        self, parts: Parts, prepared: Any, heads: Sequence[Tensor], target: Tensor, pixel_weight: Tensor | None,
        factor: Tensor, wanted: Sequence[bool],
    ) -> Sequence[Tensor | None]:  # fmt: skip
        numbers, kept = prepared
        made = iter(torch.ops.pat_triton.backward(factor, heads, target, numbers, pixel_weight, kept, self.text))
        return [next(made) if want else None for want in wanted]


def _forward(
    heads: list[Tensor], target: Tensor, numbers: Tensor, class_counts: Tensor | None, weight: Tensor | None,
    mask_sizes: Tensor | None, pixel_weight: Tensor | None, region_weights: list[Tensor | None],
    tensors: list[Tensor] | None, text: str,
) -> list[Tensor]:  # fmt: skip
    said = fixed(text)
    region_weights = region_weights or []  # AOTInductor hands on None for an empty list
    parts, factors = said.options_of(numbers)
    prepared = Prepared.of(parts, tensors, heads[0].shape[1]) if tensors else None
    call = Call(
        heads, factors, target, said.return_stats, class_counts, weight, mask_sizes, pixel_weight, prepared,
        numbers, region_weights,
    )  # fmt: skip
    kind = kinds((*heads, target, class_counts, weight, mask_sizes, pixel_weight, *region_weights))
    key = None if kind is None or tensors else (kind, len(heads), parts.by_tensor, private.validated())
    plan = None if key is None else said.plans.get(key)
    if plan is None:
        plan = Executed(parts, call, said.in_forward, said.keeps)
        if key is not None:
            said.plans.put(key, plan)
    loss, gradients, statistics, kept = plan.run(parts, call, heads)
    # An operator's results may not share memory.
    made = [loss, *gradients] if statistics is None else [loss, *(t.clone() for t in statistics), *gradients]
    if not all(said.in_forward):
        made = [t for t in made if t is not None]
    if said.keeps:
        made.append(kept.tables.clone() if tensors and kept.tables is tensors[0] else kept.tables)
        made += kept.regions
        if kept.seeds is not None and prepared is None:
            made.append(kept.seeds)
    return made


def _fake_forward(heads: list[Tensor], target: Tensor, numbers: Tensor, *rest: Any) -> list[Tensor]:
    tensors, text = rest[-2:]
    said, logits = fixed(text), heads[0]
    compute = table_dtype(heads)
    B, L = logits.shape[:2]
    made = [logits.new_empty(() if said.settings.reduce else target.shape, dtype=compute)]
    if said.return_stats:
        made += [logits.new_empty((B, L), dtype=dtype) for dtype in (compute, *(torch.int64,) * 3)]
    made += [torch.empty_like(z) for z, early in zip(heads, said.in_forward, strict=True) if early]
    if said.keeps:
        rows, kernels = len(said.settings.rows) + len(heads) * B, runs_kernels(said.settings.backend, logits.device)
        if kernels:
            rows += lead_rows(read(said.settings, None).parameters, L)
        made.append(logits.new_empty((rows, L), dtype=compute))
        if said.settings.regions:
            shape = (B * (DERIVATIVES + SUMS) * L,) if kernels and not tensors else (B, DERIVATIVES, L)
            made += [z.new_empty(shape, dtype=compute_dtype(z)) for z in heads]
        if said.settings.distribution is not None and not tensors:
            made.append(logits.new_empty(2 * len(heads), dtype=torch.int64))
    return made


def _backward(
    grad_output: Tensor, heads: list[Tensor], target: Tensor, numbers: Tensor | None, pixel_weight: Tensor | None,
    kept: list[Tensor], text: str,
) -> list[Tensor]:  # fmt: skip
    said = fixed(text)
    tables, regions = kept[0], tuple(kept[1 : 1 + len(heads)]) if said.settings.regions else ()
    seeds, offset = (*kept[1 + len(regions) :], None, None)[:2]
    parts, _ = said.options_of(numbers)
    classes, kernels = heads[0].shape[1], numbers is None
    prepared = Prepared(
        tables, said.settings.rows, parts.noise(classes), seeds, offset, None,
        lead_rows(parts.parameters, classes) if kernels else 0, regions,
    )  # fmt: skip
    made = gradients(
        choose(said.settings.backend, grad_output.device), said.backward_passes if kernels else None, parts, prepared,
        heads, target, pixel_weight, grad_output, said.late,
    )  # fmt: skip
    return [g for g in made if g is not None]


def _fake_backward(_: Tensor, heads: list[Tensor], *rest: Any) -> list[Tensor]:
    return [torch.empty_like(z) for z, wanted in zip(heads, fixed(rest[-1]).late, strict=True) if wanted]


def _histogram(target: Tensor, classes: int, ignored: list[int], backend: str) -> Tensor:
    return choose(backend, target.device).histogram(target, classes, tuple(ignored))


def _fake_histogram(target: Tensor, classes: int, *_: Any) -> Tensor:
    return target.new_empty(target.shape[0], classes + 1, dtype=torch.int64)


def _predict(logits: Tensor, size: list[int], align_corners: bool, backend: str) -> Tensor:
    return choose(backend, logits.device).predict(logits, torch.Size(size), align_corners)


def _fake_predict(logits: Tensor, size: list[int], *_: Any) -> Tensor:
    return logits.new_empty(logits.shape[0], *size, dtype=label_dtype(logits.shape[1]))


def _confusion(target: Tensor, prediction: Tensor, classes: int, ignored: list[int], backend: str) -> Tensor:
    counts = choose(backend, target.device).confusion(target, prediction, classes, tuple(ignored))
    if checks.checks_labels(target.device):
        checks.counted(counts, target, tuple(ignored))
    return counts


def _fake_confusion(target: Tensor, _: Tensor, classes: int, *__: Any) -> Tensor:
    return target.new_empty(classes + 2, classes, dtype=torch.int64)


class Evaluation:
    """Of ``pat_triton.backends.choose.Backend`` what evaluation and shared counts need, by operators."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def histogram(self, target: Tensor, classes: int, ignored: Ignored) -> Tensor:
        return torch.ops.pat_triton.histogram(target, classes, ignored, self.backend)

    def predict(self, logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
        return torch.ops.pat_triton.predict(logits, size, align_corners, self.backend)

    def confusion(self, target: Tensor, prediction: Tensor, classes: int, ignored: Ignored) -> Tensor:
        return torch.ops.pat_triton.confusion(target, prediction, classes, ignored, self.backend)


LIBRARY = torch.library.Library("pat_triton", "DEF")
OPERATORS: list[str] = []


def _operator(schema: str, run: Any, fake: Any, *tags: torch.Tag) -> None:
    name = LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag, *tags))
    LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"pat_triton::{name}", fake, lib=LIBRARY)
    OPERATORS.append(name)


_operator(
    "forward(Tensor[] heads, Tensor target, Tensor numbers, Tensor? class_counts, Tensor? weight, Tensor? mask_sizes, "
    "Tensor? pixel_weight, Tensor?[] region_weights, Tensor[]? prepared, str fixed) -> Tensor[]",
    _forward,
    _fake_forward,
    torch.Tag.nondeterministic_seeded,  # it draws the noise's keys
)
_operator(
    "backward(Tensor grad_output, Tensor[] heads, Tensor target, Tensor? numbers, Tensor? pixel_weight, Tensor[] kept, "
    "str fixed) -> Tensor[]",
    _backward,
    _fake_backward,
)
_operator("histogram(Tensor target, int classes, int[] ignored, str backend) -> Tensor", _histogram, _fake_histogram)
_operator("predict(Tensor logits, SymInt[] size, bool align_corners, str backend) -> Tensor", _predict, _fake_predict)
_operator(
    "confusion(Tensor target, Tensor prediction, int classes, int[] ignored, str backend) -> Tensor",
    _confusion,
    _fake_confusion,
)
