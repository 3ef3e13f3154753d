"""How a measurement is called, wherever it is shown."""

from .record import Record


def title(record: Record) -> str:
    """What was measured, on what and when."""
    return f"{size(record)}, {record.dtype}, loss + gradient, {place(record)}"


def size(record: Record) -> str:
    """Of the logits, and of the labels where it is another."""
    logits = "x".join(map(str, (*record.shape[:2], *record.source)))
    return logits if record.source == record.shape[2:] else f"{logits} to {record.shape[2]}x{record.shape[3]}"


def place(record: Record) -> str:
    m = record.machine
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
