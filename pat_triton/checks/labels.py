"""What the labels hold; to look at them on a GPU is to wait for it."""

import os

import torch
from torch import Tensor

# Where looking at the labels costs no synchronisation with the host.
CHECKED_DEVICES = ("cpu",)


def looks_at_labels(device: torch.device, validate: bool = False) -> bool:
    """Whether wrong labels are named; else they make the result nan."""
    return device.type in CHECKED_DEVICES or validate or os.environ.get("PAT_TRITON_VALIDATE") == "1"


def mark_invalid(counts: Tensor, wrong: Tensor) -> Tensor:
    """Counts made negative where ``wrong``, and with them their sums of up to 10 ** 13 pixels."""
    return counts - wrong * (1 << 44)


def histogram(counts: Tensor, y: Tensor, ignored: tuple[int, ...]) -> None:
    """A target by its histogram (B, L + 1)."""
    if bool(counts[:, -1].any()):
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
    tensor; more: what there would be if they were classes."""
    y = y.to(torch.int64)
    right = ((y >= 0) & (y < classes)) | torch.isin(y, torch.tensor(ignored, device=y.device))
    values, numbers = y[~right].unique(return_counts=True)
    shown = ignored[0] if len(ignored) == 1 else ignored
    found = list(zip(values.tolist(), numbers.tolist(), strict=True))
    listed = ", ".join(f"{value} ({number} pixels)" for value, number in found[:5])
    others = f" and {len(found) - 5} other values" if len(found) > 5 else ""
    return ValueError(
        f"{where}: {int(numbers.sum())} labels are neither a class 0..{classes - 1} nor "
        f"ignore_index={shown}: {listed}{others}; {_likely(values.tolist(), classes, name, more)}"
    )


def _likely(values: list[int], classes: int, name: str, more: str) -> str:
    if values in ([-100], [-1], [255]):
        return f"to ignore these pixels pass ignore_index={values[0]}"
    if values == [classes]:
        return f"labels that count from 1 need {name} - 1; if {classes} means unlabelled pass ignore_index={classes}"
    return f"map the data set's ids to 0..{classes - 1} first, or {more}"
