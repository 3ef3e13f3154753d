"""Losses as they are written on a command line: ``PATLoss``, ``PATLoss(temperature=5)``, the open form
``SegmentationLoss(Focal(2), Variation(0.5), MaskSize())``, or a sum, ``PATLoss + 0.5 * DiceLoss(smooth=0)``."""

import ast
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

import pat_triton
from pat_triton import adjustment, curves, weights
from pat_triton.keywords import keywords, refuse
from pat_triton.losses import CATALOGUE
from pat_triton.region_losses import REGIONS

from ..speed.cost import Loss
from ..speed.formulas import FORMULAS

KNOWN = {**CATALOGUE, "SegmentationLoss": pat_triton.SegmentationLoss, **REGIONS}
EXPECTED = (
    f"one of {', '.join(KNOWN)}, or one with options, such as PATLoss(temperature=5), or a sum, such as "
    "PATLoss + 0.5 * DiceLoss"
)


@dataclass(frozen=True)
class Term:
    """name: of the loss. arguments, settings: as Python writes them."""

    name: str
    arguments: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    factor: float = 1.0

    def __str__(self) -> str:
        parts = (*self.arguments, *(f"{name}={value}" for name, value in self.settings))
        loss = f"{self.name}({', '.join(parts)})" if parts else self.name
        return loss if self.factor == 1 else f"{self.factor:.12g} * {loss}"

    def build(self, **options: Any) -> Any:
        own = {name: _evaluated(value) for name, value in self.settings}
        made = KNOWN[self.name](*map(_evaluated, self.arguments), **{**options, **own})
        return made if self.factor == 1 else made * self.factor


@dataclass(frozen=True)
class Expression:
    """A loss, or a sum of several."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))

    @property
    def name(self) -> str:
        """Without the options."""
        return " + ".join(term.name for term in self.terms)

    def build(self, **options: Any) -> pat_triton.SegmentationLoss | pat_triton.SumLoss:
        """options: of this run, unless the expression has them."""
        try:
            first, *others = (term.build(**options) for term in self.terms)
            return sum(others, start=first)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--loss {self}: {error}") from error


def parse(text: str, settings: Sequence[str] = ()) -> Expression:
    """settings: ``NAME=VALUE`` of every loss, or ``LOSS.NAME=VALUE`` of one."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"--loss: got {text!r}, expected {EXPECTED}") from error
    made = Expression(tuple(_term(text, loss, factor, settings) for factor, loss in _added(node)))
    # So that a mistake is said before the data are read.
    if made.build().reduction == "none":
        raise ValueError(f"--loss {made}: got reduction='none', expected 'mean' or 'sum': training needs one number")
    return made


def _added(node: ast.expr, factor: float = 1.0) -> list[tuple[float, ast.expr]]:
    """The terms of a sum, each with its factor."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _added(node.left, factor) + _added(node.right, factor)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for number, loss in ((node.left, node.right), (node.right, node.left)):
            with contextlib.suppress(ValueError, TypeError):
                return _added(loss, factor * float(ast.literal_eval(number)))
    return [(factor, node)]


def _term(text: str, node: ast.expr, factor: float, settings: Sequence[str]) -> Term:
    """text: the whole."""
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name) or call.func.id not in KNOWN:
        part = ast.unparse(node)
        raise ValueError(f"--loss: got {text!r}{'' if part == text else f' with {part!r}'}, expected {EXPECTED}")
    try:
        found = {name: ast.unparse(value) for name, value in _named(call).items()}
    except ValueError as error:
        raise ValueError(f"--loss: {error}") from error
    for setting in settings:
        name, equals, value = setting.partition("=")
        loss, dot, option = name.rpartition(".")
        if not (equals and option.isidentifier()) or (dot and loss not in KNOWN):
            raise ValueError(
                f"--set: got {setting!r}, expected NAME=VALUE or LOSS.NAME=VALUE, such as PATLoss.temperature=5"
            )
        if not dot or loss == call.func.id:
            found[option] = value
    return Term(call.func.id, tuple(map(ast.unparse, call.args)), tuple(found.items()), factor)


def rival(expression: Expression, counts: Tensor, align_corners: bool) -> Loss | None:
    """The formula in eager torch, with class counts (L,); None where it has no such options, and of sums."""
    term, *others = expression.terms
    formula = FORMULAS.get(term.name)
    if formula is None or term.arguments or term.factor != 1 or others:
        return None
    settings = {name: _evaluated(value) for name, value in term.settings}
    if not set(settings) <= set(formula.options):
        return None
    tables = formula.tables(counts.clamp(min=1))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        if align_corners and logits.shape[2:] != target.shape[1:]:
            logits = F.interpolate(logits, target.shape[1:], mode="bilinear", align_corners=True)
        return formula.loss(logits, target, *tables, **settings)

    return loss


def _named(call: ast.Call) -> dict[str, ast.expr]:
    """Its options by name."""
    names = [keyword.arg for keyword in call.keywords]
    if None in names or len(set(names)) < len(names):
        raise ValueError(f"got {ast.unparse(call)!r}, expected each option once, by its name")
    return {str(keyword.arg): keyword.value for keyword in call.keywords}


def _evaluated(text: str) -> Any:
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"got {text!r}, expected {_expected()}") from error
    return _value(node)


def parts() -> dict[str, Any]:
    """What the open form is made of, registered curves too."""
    return {kind.__name__: kind for kind in (*curves.CURVES.values(), *adjustment.DESCRIBED, *weights.DESCRIBED)}


def _expected() -> str:
    return f"a number, a word, or a part of a loss such as Focal(2), known: {', '.join(parts())}"


def _value(node: ast.expr) -> Any:
    """A literal, a part of a loss such as ``Focal(2)``, or a word."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in parts():
        kind = parts()[node.func.id]
        named = {name: _value(value) for name, value in _named(node).items()}
        refuse(node.func.id, named, keywords(kind))
        return kind(*map(_value, node.args), **named)
    if isinstance(node, ast.Tuple):
        return tuple(map(_value, node.elts))
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ValueError(f"got {ast.unparse(node)!r}, expected {_expected()}") from error
