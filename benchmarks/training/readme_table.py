"""What ``train`` wrote of a run, as Markdown."""

import json
from pathlib import Path

from ..markdown import table

SCORES = {
    "miou": "mIoU",
    "tail_miou": "IoU of rare classes",
    "head_miou": "IoU of the others",
    "pixel_accuracy": "pixel accuracy",
}


def markdown(file: Path) -> str:
    """Scores of each loss in per cent."""
    saved = json.loads(file.read_text())
    rows = (
        (f"`{loss}`", *(f"{100 * found['scores'][score]:.0f}" for score in SCORES))
        for loss, found in saved["losses"].items()
    )
    return table(("%", *SCORES.values()), rows)
