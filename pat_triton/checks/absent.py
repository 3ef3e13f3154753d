"""A class that occurs although its given count is 0: losses differ in what they make of it, which is said once."""

import sys
import warnings
from typing import TYPE_CHECKING

from torch import Tensor

from .scalars import plural

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
    listed = [f"class {c}: {plural(int(pixels[c]), 'pixel')}" for c in found[:5]] + ["..."] * (len(found) > 5)
    warnings.warn(
        f"class_counts: got 0 for classes that have pixels in the target ({', '.join(listed)}), expected the counts of "
        "the training data; are these counts of other data, or of a part? Count again: pat_triton.class_counts(data, "
        f"num_classes={len(class_counts)}). {effect}. This warning is given once",
        stacklevel=_outside(),
    )


def _effect(settings: "Settings") -> str:
    """What becomes of the pixels of such a class; nothing to say where counts are not used."""
    effects = []
    if settings.numerator == "effective_number":
        effects.append("With these counts such pixels have no loss, as the class-balanced weight of a count of 0 is 0")
    if {"offset", "margin", "variation"} & set(settings.rows):
        effects.append("A count of 0 is taken as 1, so the logits are adjusted as if the class were extremely rare")
    if settings.numerator is None and not effects:
        effects.append("What happens to such pixels depends on the adjustment and the weights of this loss")
    return ". ".join(effects)


def _outside() -> int:
    """The stack level, for the caller, of the line that called a criterion."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PACKAGES:
        level, frame = level + 1, frame.f_back
    return level
