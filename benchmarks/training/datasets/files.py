"""Which files a folder has, and the pictures in them."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .listing import is_junk

# In any case: cameras write .JPG, and phones .jpeg.
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm")
ORIENTATION = 0x0112  # the EXIF tag
# What undoes the orientations that exchange height and width.
BACK = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Files:
    """Of a folder and all below it, sorted: pictures; what has another ending; links to nothing; and junk, which the
    system or an editor left there."""

    folder: Path
    pictures: tuple[Path, ...]
    unknown: tuple[Path, ...] = ()
    broken: tuple[Path, ...] = ()
    junk: tuple[Path, ...] = ()

    @property
    def count(self) -> int:
        return len(self.pictures) + len(self.unknown) + len(self.broken) + len(self.junk)


def files_of(folder: Path) -> Files:
    """Every file in the folder and below it, once."""
    kinds: dict[str, list[Path]] = {"pictures": [], "unknown": [], "broken": [], "junk": []}
    for file in sorted(_walk(folder)):
        kinds[_kind(file, folder)].append(file)
    return Files(folder, **{kind: tuple(found) for kind, found in kinds.items()})


def key(file: Path, folder: Path) -> str:
    """What a picture's file and its labels' have in common: the name below the folder without the ending."""
    # macOS writes an accent as a character of its own, others do not.
    return unicodedata.normalize("NFC", file.relative_to(folder).with_suffix("").as_posix())


def decode(file: Path) -> tuple[Image.Image, int]:
    """The picture as it is stored, and its EXIF orientation, 1 where it is upright; Pillow itself turns TIFF files."""
    try:
        with Image.open(file) as image:
            image.load()
            return image, image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken PNG files
        raise ValueError(
            f"{file}: found {file.stat().st_size} bytes that cannot be decoded ({error}), expected an image"
        ) from error


def photograph(file: Path, labelled: tuple[int, int]) -> Image.Image:
    """The image in RGB, turned as its EXIF orientation says. labelled: (width, height) of its labels.

    The rule: labels are upright, as every viewer and annotation tool shows the image. Only where the turned image does
    not have their size, and the unturned one does, the labels were made from the unturned one, which is kept then.
    """
    image, orientation = decode(file)
    if orientation in range(2, 9):
        turned = ImageOps.exif_transpose(image)
        image = image if turned.size != labelled == image.size else turned
    elif image.size != labelled == image.size[::-1] and _tiff_orientation(file) in BACK:
        image = image.transpose(BACK[_tiff_orientation(file)])  # which Pillow had turned
    if image.mode.startswith("I"):
        # Of 16 bits a pixel, of which Pillow would make white.
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _tiff_orientation(file: Path) -> int:
    """Before Pillow turns the image and removes the tag, which it does when it loads the pixels of a TIFF file."""
    with Image.open(file) as image:
        return image.getexif().get(ORIENTATION, 1) if image.format == "TIFF" else 1


def _walk(folder: Path) -> Iterator[Path]:
    """Files below the folder. Links to folders are followed, each folder once, and where a folder is there by its own
    name too, by that."""
    start = folder.resolve()
    above = {start, *start.parents}  # a link to one of them would find the labels among the images
    seen: set[Path] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        current = waiting.pop() if waiting else links.pop(0)
        if current.resolve() in seen:
            continue
        seen.add(current.resolve())
        for path in sorted(current / name for name in os.listdir(current)):
            if not os.path.isdir(path):  # which says no of a link to itself, where Path.is_dir may raise
                yield path
            elif not path.is_symlink():
                waiting.append(path)
            elif path.resolve() not in above:
                links.append(path)


def _kind(file: Path, folder: Path) -> str:
    if is_junk(file.relative_to(folder)):
        return "junk"
    if not os.path.isfile(file):
        return "broken"
    return "pictures" if file.suffix.lower() in PICTURES else "unknown"
