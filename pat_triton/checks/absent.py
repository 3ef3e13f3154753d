"""A class that occurs although its given count is 0: losses differ in what they make of it, which is said once."""

import sys
import warnings
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from ..settings import Settings

PACKAGES = (__package__.partition(".")[0], "torch")
said: set[tuple[tuple[int, ...], str]] = set()  # in this process


def tell_of_absent(settings: "Settings", histogram: Tensor, class_counts: Tensor | None) -> None:
    """A UserWarning for classes of ``histogram`` (B, L + 1) that ``class_counts`` leave out. Both are read: not for
    what is on a GPU, unless a call waits for it anyway."""
    effect = "" if class_counts is None else _effect(settings)
    if class_counts is None or not effect:
        return
    absent = class_counts == 0
    if not bool(absent.any()):
        return
    pixels = histogram[:, :-1].sum(0) * absent
    found = pixels.nonzero().flatten().tolist()
    key = tuple(absent.nonzero().flatten().tolist()), effect
    if not found or key in said:
        return
    said.add(key)
    listed = ", ".join(f"{int(pixels[c])} of class {c}" for c in found[:5]) + (", ..." if len(found) > 5 else "")
    warnings.warn(
        f"class_counts: got 0 for classes that the target has pixels of ({listed}), expected the counts of the data "
        f"that are trained on; are these of another data set, or of a part of it? {effect}. This is said once",
        stacklevel=_outside(),
    )


def _effect(settings: "Settings") -> str:
    """What becomes of the pixels of such a class; nothing to say where counts are not used."""
    effects = []
    if settings.numerator == "effective_number":
        effects.append("These pixels have no loss, as the class-balanced weight of a count of 0 is 0")
    if {"offset", "margin", "variation"} & set(settings.rows):
        effects.append("The logits are adjusted as if the count were 1, that of the rarest class")
    if settings.numerator is None and not effects:
        effects.append("What becomes of these pixels depends on the loss's parts")
    return ". ".join(effects)


def _outside() -> int:
    """The stack level, for the caller, of the line that called a criterion."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PACKAGES:
        level, frame = level + 1, frame.f_back
    return level
