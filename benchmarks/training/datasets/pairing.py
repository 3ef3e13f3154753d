"""Which image has which labels, and what is left out."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .files import Files, key

Pair = tuple[Path, Path]  # an image and its labels
SHOWN = 3  # names of files that a line has
WITHOUT_LABELS = "images without labels"


@dataclass(frozen=True)
class Pairing:
    """pairs: sorted by name. files: how many there are beside the images, with them. left: why files are left out, and
    which."""

    pairs: list[Pair]
    files: int
    left: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    def line(self, split: str, folder: Path) -> str:
        """For the terminal."""
        out = [f"{len(files)} {why} ({named(files)})" for why, files in self.left.items() if files]
        left = f"; left out: {', '.join(out)}" if out else ""
        return f"{split}: {len(self.pairs)} images of {self.files} files in {folder} are used{left}"


def named(files: Iterable[Path]) -> str:
    """The names of the first."""
    names = [file.name for file in files]
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def of_two_trees(images: Files, labels: Files, image_tag: str, label_tags: Sequence[str]) -> Pairing:
    """image_tag, label_tags: how names end before the ending, in any case. Of label tags, an earlier one goes first;
    files without any are no labels, and none of a name that an image has too has a tag."""
    photos, tagless = _by_key(images, images.pictures, [image_tag])
    annotations, _ = _by_key(labels, labels.pictures, label_tags, photos.keys() if "" in label_tags else ())
    # Where labels have a name of their own, other files lie beside them as published.
    beside = labels if "" in label_tags else Files(labels.folder, ())
    return _paired(photos, annotations, images, beside, {f"without {image_tag} in the name": tagless})


def side_by_side(files: Files, label_tags: Sequence[str]) -> Pairing:
    """Labels have a tag, or are the PNG file of two of one name."""
    names = Counter(key(file, files.folder) for file in files.pictures)
    # Two of one name are image and labels, even if that name ends in a tag.
    alone = [file for file in files.pictures if names[key(file, files.folder)] == 1]
    annotations, untagged = _by_key(files, alone, label_tags)
    together = [file for file in files.pictures if names[key(file, files.folder)] > 1]
    photos, _ = _by_key(files, [*untagged, *together], [""])
    doubtful: list[Path] = []
    for name, found in list(photos.items()):
        if len(found) == 1 or name in annotations:
            continue
        first, *others = found  # PNG files come first
        if len(others) == 1 and first.suffix.lower() == ".png" != others[0].suffix.lower():
            annotations[name], photos[name] = [first], others
        else:
            doubtful += photos.pop(name)
    left = {"of a name that does not tell image from labels": doubtful}
    return _paired(photos, annotations, files, Files(files.folder, ()), left)


def _by_key(
    files: Files, pictures: Iterable[Path], tags: Sequence[str], whole: Collection[str] = ()
) -> tuple[dict[str, list[Path]], list[Path]]:
    """Files by what they share with their partner, PNG first, and those without any of the tags. whole: names that
    have no tag, however they end."""
    ranked: list[tuple[int, bool, Path, str]] = []
    others = []
    for file in pictures:
        name = key(file, files.folder)
        fitting = (i for i, tag in enumerate(tags) if name.lower().endswith(tag.lower()))
        rank = tags.index("") if name in whole else next(fitting, None)
        if rank is None:
            others.append(file)
        else:
            ranked.append((rank, file.suffix.lower() != ".png", file, name[: len(name) - len(tags[rank])]))
    found: dict[str, list[Path]] = {}
    for _, _, file, name in sorted(ranked):
        found.setdefault(name, []).append(file)
    return found, others


def _paired(
    photos: Mapping[str, list[Path]],
    annotations: Mapping[str, list[Path]],
    images: Files,
    labels: Files,
    left: Mapping[str, Sequence[Path]],
) -> Pairing:
    """labels: what else lies beside them."""
    both = sorted(photos.keys() & annotations.keys())
    reasons = {
        WITHOUT_LABELS: [photos[name][0] for name in sorted(photos.keys() - annotations.keys())],
        "labels without an image": [annotations[name][0] for name in sorted(annotations.keys() - photos.keys())],
        # All would have the same labels, which were made for one of them.
        "other images of the same name": [file for name in sorted(photos) for file in photos[name][1:]],
        **left,
        "of unknown endings": [*images.unknown, *labels.unknown],
        "links to nothing": [*images.broken, *labels.broken],
        "left there by the system": [*images.junk, *labels.junk],
    }
    pairs = [(photos[name][0], annotations[name][0]) for name in both]
    return Pairing(sorted(pairs), images.count, reasons)
