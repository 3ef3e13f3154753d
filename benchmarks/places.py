"""Where the results lie, and where a job may leave its files: asked before the work that they would hold."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


def refuse_unusable(option: str, folder: Path) -> None:
    """ValueError if the folder is not there and cannot be made, or cannot be written to."""
    for part in (folder, *folder.absolute().parents):
        if os.path.lexists(part):
            if not part.is_dir():
                raise ValueError(f"{option}: got {folder}, expected a folder, but {part} is a file")
            if not os.access(part, os.W_OK | os.X_OK):
                raise ValueError(f"{option}: got {folder}, expected a folder that can be written to, {part} cannot")
            return
