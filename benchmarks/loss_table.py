"""The losses as the README lists them: each in its three parts, from the catalogue."""

from collections.abc import Iterator
from inspect import Parameter, signature
from typing import Any

from pat_triton.losses import CATALOGUE

from .markdown import table

HEAD = ("class", "adjustment", "f(p)", "w", "source")
OPEN = ("`SegmentationLoss(curve, adjustment, weights)`", "any", "any", "any", "the open form")


def markdown() -> str:
    return table(HEAD, [*map(_cells, CATALOGUE.values()), OPEN])


def _cells(kind: Any) -> Iterator[str]:
    parameters = [p for p in signature(kind).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    yield f"`{kind.__name__}({', '.join(f'{p.name}={_shown(p.default)}' for p in parameters)})`"
    yield from (cell.replace("|", r"\|") for cell in kind.entry[1:])


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
