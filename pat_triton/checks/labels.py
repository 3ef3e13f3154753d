"""What the labels hold; to look at them on a GPU is to wait for it."""

import os

import torch
from torch import Tensor

from .scalars import as_written, plural

# Where looking at the labels costs no synchronisation with the host.
CHECKED_DEVICES = ("cpu",)


def checks_labels(device: torch.device, validate: bool = False) -> bool:
    """Whether wrong labels are named; else they make the result nan."""
    return device.type in CHECKED_DEVICES or validate or os.environ.get("PAT_TRITON_VALIDATE") == "1"


def mark_invalid(counts: Tensor, wrong: Tensor) -> Tensor:
    """Counts made negative where ``wrong``, and with them their sums of up to 10 ** 13 pixels."""
    return counts - wrong * (1 << 44)


def histogram(counts: Tensor, y: Tensor, ignored: tuple[int, ...]) -> None:
    """A target by its histogram (B, L + 1)."""
    if counts[:, -1].sum().item():
        raise wrong_labels(y, counts.shape[1] - 1, ignored)


def counted(confusion: Tensor, y: Tensor, ignored: tuple[int, ...]) -> None:
    """A target by its counts (L + 2, L), the last row of which is of labels that are neither a class nor ignored."""
    if bool(confusion[-1].any()):
        raise wrong_labels(y, confusion.shape[1], ignored)


def wrong_labels(
    y: Tensor, classes: int, ignored: tuple[int, ...], where: str = "target", name: str = "target",
    more: str = "give the logits more channels",
) -> ValueError:  # fmt: skip
    """The error for labels known to be neither a class nor ignored, for some of them. where: they are; name: of their
    tensor; more: what to do if they are classes."""
    y = y.to(torch.int64)
    right = ((y >= 0) & (y < classes)) | torch.isin(y, torch.tensor(ignored, device=y.device))
    values, numbers = y[~right].unique(return_counts=True)
    found = list(zip(values.tolist(), numbers.tolist(), strict=True))
    listed = ", ".join(f"{value} ({plural(number, 'pixel')})" for value, number in found[:5])
    others = f" and {plural(len(found) - 5, 'other value')}" if len(found) > 5 else ""
    number = int(numbers.sum())
    return ValueError(
        f"{where}: {plural(number, 'label')} {'is' if number == 1 else 'are'} neither a class 0..{classes - 1} nor "
        f"ignore_index={as_written(ignored)}: {listed}{others}; "
        f"{_likely(y.unique().tolist(), values.tolist(), classes, ignored, name, more)}"
    )


def _likely(
    labels: list[int], wrong: list[int], classes: int, ignored: tuple[int, ...], name: str, more: str
) -> str:  # fmt: skip
    """What to do about the wrong ones of the labels that occur."""
    if wrong == [classes]:
        unlabelled = f"if {classes} means unlabelled pass ignore_index={classes}"
        if 0 in labels:
            return f"{unlabelled}; if 0 does, and classes count from 1, pass {name}.long() - 1 and ignore_index=-1"
        return f"labels that count from 1 need {name} - 1; {unlabelled}"
    if classes == 2 and labels == [0, 255]:
        return "in a mask of 0 and 255 write 1 for 255; to ignore these pixels pass ignore_index=255"
    negative = [label for label in wrong if label < 0]
    if len(negative) < 2 and {*wrong} <= {*negative, 255}:
        # With the labels that are ignored already, unless they are a default or a guess that nothing has.
        kept = [label for label in ignored if label in labels or 0 <= label < classes]
        return f"to ignore these pixels pass ignore_index={as_written((*kept, *sorted(wrong, reverse=True)))}"
    return f"map the data set's ids to 0..{classes - 1} first" + ("" if negative else f", or {more}")
