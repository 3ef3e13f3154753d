"""The state of a run in a file, which is a whole one whenever the run is killed.

Whatever is wrong with a file is said with its name, what was found and what was expected.
"""

import io
import os
from pathlib import Path
from typing import Any

import torch

FORMAT = 2
NAME = "checkpoint.pt"
CONTENTS = ("arguments", "data", "outcomes", "training")
PARTIAL = NAME + ".tmp"


def write(folder: Path, state: dict[str, Any]) -> None:
    """state: what ``torch.load`` takes for weights: tensors, numbers and strings, in dicts, lists and tuples."""
    # To memory first: a full disk makes torch.save raise a RuntimeError that does not tell.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT} | state, buffer)
    with open(folder / PARTIAL, "wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    os.replace(folder / PARTIAL, folder / NAME)
    # The new name is kept by the folder, which is written on its own.
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def read(folder: Path) -> dict[str, Any]:
    """What was written last, on the CPU; what a killed run had begun to write after it is removed."""
    path = folder / NAME
    expected = f"expected a checkpoint of format {FORMAT}, written by python -m benchmarks train"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: found no such file, {expected}")
    with open(path, "rb") as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whichever the bytes lead torch.load to
            size = path.stat().st_size
            raise ValueError(f"{path}: found {size} bytes that torch.load cannot read, {expected}") from error
    missing = {"format", *CONTENTS} - set(state) if isinstance(state, dict) else {"format"}
    if "format" in missing:
        raise ValueError(f"{path}: found a {type(state).__name__} without a format number, {expected}")
    if state["format"] != FORMAT:
        raise ValueError(f"{path}: found format {state['format']}, {expected}")
    if missing:
        raise ValueError(f"{path}: found none of {', '.join(sorted(missing))}, {expected}")
    (folder / PARTIAL).unlink(missing_ok=True)
    return state
