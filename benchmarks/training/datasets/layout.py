"""Where images and labels lie below the root: as a data set is published, or in any of the usual ways."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from .files import files_of, key, photograph
from .labels import classes_of, read_labels
from .listing import names_in
from .pairing import WITHOUT_LABELS, Pair, Pairing, of_two_trees, side_by_side
from .splits import Sample

SPLITS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
IMAGES = ("images", "image", "imgs", "img", "jpegimages", "rgb", "photos", "inputs")
LABELS = ("labels", "label", "masks", "mask", "annotations", "annotation", "segmentationclass", "gt", "targets")
TAGS = tuple(f"{mark}{tag}" for mark in "_-." for tag in ("masks", "mask", "labels", "label", "gt", "seg"))
HELD_OUT = 5  # of so many images, one is for validation where no folder says which are


@dataclass(frozen=True)
class Layout:
    """Where images and labels lie below the root, and what the bytes of the labels mean. Files may have any picture's
    ending in any case, and images any orientation.

    images, labels: folders, with {split} for the split. image_ends, label_end: how names end as published.
    ids: byte -> class or ``VOID``; any other byte is an error.
    splits: what the data set calls train, val and, if it may have them, test images.
    listing: the file, with {split}, that lists the names of a split, one first in each line.
    preferred: how else label files may be called, and what their bytes mean then; they are used where all images have
    them, or where the others are not there. complete: an image without labels is an error, as the data set has them.
    flexible: the command line can say what labels mean.
    """

    name: str
    images: str
    labels: str
    image_ends: tuple[str, ...]
    label_end: str
    ids: Mapping[int, int]
    splits: Mapping[str, str] = field(default_factory=lambda: {name: name for name in SPLITS})
    listing: str | None = None
    preferred: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    complete: bool = True
    flexible: bool = False

    def has(self, root: Path, split: str) -> bool:
        return (root / self.images.format(split=self.splits[split])).is_dir()

    def find(self, root: Path, split: str) -> tuple[Path, Pairing]:
        """The folder of the images, and what is in it."""
        folder, label_folder = (root / part.format(split=self.splits[split]) for part in (self.images, self.labels))
        for path in (root, folder, label_folder):
            if not path.is_dir():
                ends = "|".join(self.image_ends)
                expected = f"{self.images}/*{ends} and {self.labels}/*{self.label_end}".format(split="SPLIT")
                names = ", ".join(self.splits.values())
                raise FileNotFoundError(
                    f"{path}: no such folder; --data {self.name} expects {expected} below --root, SPLIT being {names}"
                )
        images, labels = files_of(folder), files_of(label_folder)
        candidates = [of_two_trees(images, labels, _tag(self.image_ends[0]), [tag]) for tag in self._label_tags()]
        best = max(candidates, key=lambda pairing: len(pairing.pairs))  # the first of those that have as many
        if self.listing:
            return folder, self._listed_only(root, folder, label_folder, split, best)
        missing = best.left[WITHOUT_LABELS]
        if not best.pairs and not missing:
            raise FileNotFoundError(f"{folder}: no image in it, expected files *{' or *'.join(self.image_ends)}")
        if missing and (self.complete or not best.pairs):
            wanted = label_folder / self._label_name(missing[0], folder)
            raise FileNotFoundError(f"{wanted}: no such file, expected the labels of {missing[0]}")
        return folder, best

    def read(self, pair: Pair, size: tuple[int, int]) -> Sample:
        """Image and labels at the working size."""
        labels = self._labels(pair[1])
        image = photograph(pair[0], labels.size)
        if labels.size != image.size:
            raise ValueError(
                f"{pair[1]}: found {labels.height} x {labels.width} pixels, expected {image.height} x {image.width}, "
                f"the size of {pair[0]}"
            )
        height, width = size
        image = image.resize((width, height), Image.Resampling.BOX)
        labels = labels.resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(image), classes_of(labels, self.ids_of(pair[1]))

    def bytes_of(self, pair: Pair) -> np.ndarray:
        """(H, W) uint8, the labels as they are in their file."""
        return np.asarray(self._labels(pair[1]))

    def ids_of(self, file: Path) -> Mapping[int, int]:
        """What the bytes of that label file mean."""
        fitting = (ids for tag, ids in self.preferred.items() if file.stem.lower().endswith(tag.lower()))
        return next(fitting, self.ids)

    def _labels(self, file: Path) -> Image.Image:
        return read_labels(file, self.ids_of(file), self.name, self.flexible)

    def _label_tags(self) -> list[str]:
        return [*self.preferred, _tag(self.label_end)]

    def _label_name(self, image: Path, folder: Path) -> str:
        return key(image, folder).removesuffix(_tag(self.image_ends[0])) + self.label_end

    def _listed_only(self, root: Path, folder: Path, label_folder: Path, split: str, found: Pairing) -> Pairing:
        """Of images that are listed; the others belong to other splits."""
        assert self.listing is not None
        listing = root / self.listing.format(split=self.splits[split])
        names = set(names_in(listing, folder))
        pairs = [pair for pair in found.pairs if key(pair[0], folder) in names]
        missing = sorted(names - {key(image, folder) for image, _ in pairs})
        without = {key(image, folder): image for image in found.left[WITHOUT_LABELS]}
        if missing:
            image = without.get(missing[0])
            if image:
                wanted = label_folder / self._label_name(image, folder)
                raise FileNotFoundError(f"{wanted}: no such file, expected the labels of {image}")
            wanted = folder / f"{missing[0]}{self.image_ends[0]}"
            raise FileNotFoundError(f"{wanted}: no such file, expected an image that is listed")
        unlisted = [image for image, _ in found.pairs if key(image, folder) not in names] + [*without.values()]
        left = {"not in the split's list": sorted(unlisted), **found.left, WITHOUT_LABELS: ()}
        return Pairing(pairs, found.files, left)


@dataclass(frozen=True)
class Anywhere(Layout):
    """Images and labels in two trees, or side by side, with a folder for each split in or above them, or with none:
    then every fifth image, by name, is for validation."""

    def has(self, root: Path, split: str) -> bool:
        return self._places(root, split) is not None

    def find(self, root: Path, split: str) -> tuple[Path, Pairing]:
        if not root.is_dir():
            raise FileNotFoundError(f"{root}: no such folder; {self._expected()}")
        places = {name: self._places(root, name) for name in ("train", "val")}
        if any(places.values()) or split == "test":
            there = places.get(split) or self._places(root, split)
            if there is None:
                raise FileNotFoundError(f"{root}: no folder {' or '.join(SPLITS[split])} in it; {self._expected()}")
            return there[0], self._paired(*there)
        folder, label_folder = _two(root) or (root, root)
        whole = self._paired(folder, label_folder)
        if len(whole.pairs) < 2:
            raise FileNotFoundError(
                f"{folder}: found one image with labels, expected at least two, one of them for validation"
            )
        held = {
            pair for number, pair in enumerate(whole.pairs) if number % HELD_OUT == min(len(whole.pairs), HELD_OUT) - 1
        }
        other = "for validation" if split == "train" else "for training"
        kept = [pair for pair in whole.pairs if (pair in held) == (split == "val")]
        rest = [image for image, _ in whole.pairs if image not in {pair[0] for pair in kept}]
        return folder, Pairing(kept, whole.files, {f"{other}, as no folder says which are": rest, **whole.left})

    def _paired(self, folder: Path, label_folder: Path) -> Pairing:
        if folder == label_folder:
            found = side_by_side(files_of(folder), TAGS)
        else:
            found = of_two_trees(files_of(folder), files_of(label_folder), "", [*TAGS, ""])
        if not found.pairs:
            left = "; ".join(f"{len(files)} {why}" for why, files in found.left.items() if files) or "no picture"
            raise FileNotFoundError(f"{folder}: found no image with labels ({left}); {self._expected()}")
        return found

    def _places(self, root: Path, split: str) -> tuple[Path, Path] | None:
        """Folders of the split's images and labels, which may be one."""
        if not root.is_dir():
            return None
        both = _two(root)
        if both:
            inside = [_one(part, SPLITS[split]) for part in both]
            if inside[0] and inside[1]:
                return inside[0], inside[1]
        part = _one(root, SPLITS[split])
        return None if part is None else _two(part) or (part, part)

    def _expected(self) -> str:
        return (
            f"--data {self.name} expects images and labels of the same names in images/SPLIT and labels/SPLIT, in "
            "SPLIT/images and SPLIT/labels, side by side in SPLIT (labels NAME.png or NAME_mask.*), or without the "
            f"folder SPLIT, below --root, SPLIT being {', '.join(SPLITS)}"
        )


def _two(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels in it."""
    images, labels = _one(folder, IMAGES), _one(folder, LABELS)
    return (images, labels) if images and labels else None


def _one(folder: Path, names: Iterable[str]) -> Path | None:
    """The folder in it of one of these names, in any case."""
    found = sorted(path for path in folder.iterdir() if path.name.lower() in names and path.is_dir())
    if len(found) > 1:
        listed = " and ".join(path.name for path in found)
        raise ValueError(f"{folder}: found the folders {listed}, expected one of {', '.join(names)}; move the others")
    return found[0] if found else None


def _tag(end: str) -> str:
    """What is before the ending."""
    return end[: end.rindex(".")]
