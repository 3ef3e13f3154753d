"""How a measurement is called, wherever it is shown."""

from collections.abc import Sequence

from .device import Machine


def size(shape: Sequence[int], source: Sequence[int]) -> str:
    """Of the logits, and of the labels where it is another. shape (B, L, H, W), source (h, w)."""
    logits = "x".join(map(str, (*shape[:2], *source)))
    return logits if tuple(source) == tuple(shape[2:]) else f"{logits} to {shape[2]}x{shape[3]}"


def system(m: Machine) -> str:
    """The machine, the versions and the day."""
    if m.capability is None:
        threads = f"{m.threads} threads" if m.threads > 1 else "1 thread"
        return f"{m.device}, {threads}, python {m.python}, torch {m.torch}, {m.date}"
    return (
        f"{m.device} (capability {m.capability}, driver {m.driver}), "
        f"python {m.python}, torch {m.torch}, triton {m.triton}, {m.date}"
    )


def digits(value: float) -> str:
    """Three of them, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
