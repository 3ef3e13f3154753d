"""Data sets on disk: which files they have, and an image with its labels out of two of them.

Whatever is wrong with a file is said with its name, what was found and what was expected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..scenes.canvas import VOID
from .listing import is_junk, names_in
from .splits import Sample

Pair = tuple[Path, Path]
SPLITS = {"train": "train", "val": "val", "test": "test"}


@dataclass(frozen=True)
class Layout:
    """Where images and labels lie below the root, and what the bytes of the labels mean.

    images, labels: folders, with {split} for the split. image_ends, label_end: how names end.
    ids: byte -> class or ``VOID``; any other byte is an error.
    splits: what the data set calls train, val and, if it may have them, test images.
    listing: the file, with {split}, that lists the names of a split, one first in each line.
    """

    name: str
    images: str
    labels: str
    image_ends: tuple[str, ...]
    label_end: str
    ids: Mapping[int, int]
    splits: Mapping[str, str] = field(default_factory=lambda: SPLITS)
    listing: str | None = None

    def has(self, root: Path, split: str) -> bool:
        return (root / self.images.format(split=self.splits[split])).is_dir()

    def pairs(self, root: Path, split: str) -> list[Pair]:
        """Image and label files, sorted by name."""
        folder, label_folder = (root / part.format(split=self.splits[split]) for part in (self.images, self.labels))
        for path in (root, folder, label_folder):
            if not path.is_dir():
                ends = "|".join(self.image_ends)
                expected = f"{self.images}/*{ends} and {self.labels}/*{self.label_end}".format(split="SPLIT")
                raise FileNotFoundError(f"{path}: no such folder; --data {self.name} expects {expected} below --root")
        images = self._listed(root, folder, split) if self.listing else self._found(folder)
        if not images:
            raise FileNotFoundError(f"{folder}: no image in it, expected files *{' or *'.join(self.image_ends)}")
        labels = [label_folder / self._label(image.relative_to(folder)) for image in images]
        for pair in zip(images, labels, strict=True):
            for file, what in zip(pair, ("an image that is listed", f"the labels of {pair[0]}"), strict=True):
                if not file.is_file():
                    raise FileNotFoundError(f"{file}: no such file, expected {what}")
        return list(zip(images, labels, strict=True))

    def read(self, pair: Pair, size: tuple[int, int]) -> Sample:
        """Image and labels at the working size."""
        image, labels = _decode(pair[0]), self._labels(pair[1])
        if labels.size != image.size:
            raise ValueError(
                f"{pair[1]}: found {_extent(labels)} pixels, expected {_extent(image)}, the size of {pair[0]}"
            )
        height, width = size
        image = image.convert("RGB").resize((width, height), Image.Resampling.BOX)
        labels = labels.resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(image), self._classes(labels)

    def labels_of(self, pair: Pair) -> np.ndarray:
        """(H, W) uint8 at their own size."""
        return self._classes(self._labels(pair[1]))

    def _listed(self, root: Path, folder: Path, split: str) -> list[Path]:
        assert self.listing is not None
        listing = root / self.listing.format(split=self.splits[split])
        return sorted(folder / f"{name}{self.image_ends[0]}" for name in names_in(listing, folder))

    def _found(self, folder: Path) -> list[Path]:
        found = (path for path in folder.rglob("*") if path.name.endswith(self.image_ends))
        return sorted(path for path in found if not is_junk(path.relative_to(folder)))

    def _label(self, image: Path) -> str:
        end = next(end for end in self.image_ends if image.name.endswith(end))
        return str(image).removesuffix(end) + self.label_end

    def _labels(self, file: Path) -> Image.Image:
        """Of which every byte is known."""
        labels = _decode(file)
        if labels.mode not in ("L", "P"):
            raise ValueError(f"{file}: found pixels of mode {labels.mode}, expected labels of one byte a pixel")
        unknown = [label for label in np.unique(np.asarray(labels)).tolist() if label not in self.ids]
        if unknown:
            listed = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
            raise ValueError(f"{file}: found the label ids {listed}, expected those of {self.name}: {self._range()}")
        return labels

    def _classes(self, labels: Image.Image) -> np.ndarray:
        known = np.full(256, VOID, np.uint8)
        known[list(self.ids)] = list(self.ids.values())
        return known[np.asarray(labels)]

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
