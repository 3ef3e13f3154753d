"""Data sets on disk: which files they have, and an image with its labels out of two of them.

Whatever is wrong with a file is said with its name, what was found and what was expected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .canvas import VOID

Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Layout:
    """Where images and labels lie below the root, and what the bytes of the labels mean.

    images, labels: folders, with {split} for the split. image_end, label_end: how names end.
    ids: byte -> class or ``VOID``; any other byte is an error.
    """

    name: str
    images: str
    labels: str
    image_end: str
    label_end: str
    ids: Mapping[int, int]

    def pairs(self, root: Path, split: str) -> list[Pair]:
        """Image and label files, sorted by name."""
        folder, label_folder = (root / part.format(split=split) for part in (self.images, self.labels))
        for path in (root, folder, label_folder):
            if not path.is_dir():
                expected = f"{self.images}/*{self.image_end} and {self.labels}/*{self.label_end}".format(split="SPLIT")
                raise FileNotFoundError(f"{path}: no such folder; --data {self.name} expects {expected} below --root")
        images = sorted(folder.rglob(f"*{self.image_end}"))
        if not images:
            raise FileNotFoundError(f"{folder}: no image in it, expected files *{self.image_end}")
        names = (image.relative_to(folder) for image in images)
        labels = [label_folder / str(name).replace(self.image_end, self.label_end) for name in names]
        for image, label in zip(images, labels, strict=True):
            if not label.is_file():
                raise FileNotFoundError(f"{label}: no such file, expected the labels of {image}")
        return list(zip(images, labels, strict=True))

    def read(self, pair: Pair, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 and labels (H, W) uint8 at the working size."""
        image, labels = (_decode(path) for path in pair)
        if labels.mode not in ("L", "P"):
            raise ValueError(f"{pair[1]}: found pixels of mode {labels.mode}, expected labels of one byte a pixel")
        if labels.size != image.size:
            raise ValueError(
                f"{pair[1]}: found {_extent(labels)} pixels, expected {_extent(image)}, the size of {pair[0]}"
            )
        known = np.full(256, -1)
        known[list(self.ids)] = list(self.ids.values())
        found = np.unique(np.asarray(labels))
        unknown = found[known[found] < 0]
        if len(unknown):
            listed = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
            raise ValueError(f"{pair[1]}: found the label ids {listed}, expected those of {self.name}: {self._range()}")
        height, width = size
        image = image.convert("RGB").resize((width, height), Image.Resampling.BOX)
        labels = labels.resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(image), known[np.asarray(labels)].astype(np.uint8)

    def _range(self) -> str:
        ids = sorted(self.ids)
        void = f" and {VOID}" if ids[-1] == VOID else ""
        return f"{ids[0]} to {ids[-2] if void else ids[-1]}{void}"


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken PNG files
        raise ValueError(
            f"{path}: found {path.stat().st_size} bytes that cannot be decoded ({error}), expected an image"
        ) from error
    return image


def _extent(image: Image.Image) -> str:
    return f"{image.height} x {image.width}"
