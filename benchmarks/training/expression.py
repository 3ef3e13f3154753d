"""Losses as they are written on a command line: ``PATLoss``, ``PATLoss(temperature=5)``, or the open form
``SegmentationLoss(Focal(2), Variation(0.5), MaskSize())``."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

import pat_triton
from pat_triton import adjustment, curves, weights
from pat_triton.keywords import keywords, refuse
from pat_triton.losses import CATALOGUE

from ..speed.cost import Loss
from ..speed.formulas import FORMULAS

KNOWN = {**CATALOGUE, "SegmentationLoss": pat_triton.SegmentationLoss}


@dataclass(frozen=True)
class Expression:
    """name: of the loss. arguments, settings: as Python writes them."""

    name: str
    arguments: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = (*self.arguments, *(f"{name}={value}" for name, value in self.settings))
        return f"{self.name}({', '.join(parts)})" if parts else self.name

    def build(self, **options: Any) -> pat_triton.SegmentationLoss:
        """options: of this run, unless the expression has them."""
        try:
            own = {name: _evaluated(value) for name, value in self.settings}
            arguments = map(_evaluated, self.arguments)
            return KNOWN[self.name](*arguments, **{**options, **own})
        except (TypeError, ValueError) as error:
            raise ValueError(f"--loss {self}: {error}") from error


def parse(text: str, settings: Sequence[str] = ()) -> Expression:
    """settings: ``NAME=VALUE`` of every loss, or ``LOSS.NAME=VALUE`` of one."""
    expected = f"one of {', '.join(KNOWN)}, or one with options, such as PATLoss(temperature=5)"
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"--loss: got {text!r}, expected {expected}") from error
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name) or call.func.id not in KNOWN:
        raise ValueError(f"--loss: got {text!r}, expected {expected}")
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
    made = Expression(call.func.id, tuple(map(ast.unparse, call.args)), tuple(found.items()))
    # So that a mistake is said before the data are read.
    if made.build().reduction == "none":
        raise ValueError(f"--loss {made}: got reduction='none', expected 'mean' or 'sum': training needs one number")
    return made


def rival(expression: Expression, counts: Tensor, align_corners: bool) -> Loss | None:
    """The formula in eager torch, with class counts (L,); None where it has no such options."""
    formula = FORMULAS.get(expression.name)
    if formula is None or expression.arguments:
        return None
    settings = {name: _evaluated(value) for name, value in expression.settings}
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
