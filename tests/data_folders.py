"""Small data sets in a folder, laid out as they are published, for the tests of those that read them."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.training.datasets import load

SIZE = (4, 6)


def write(root, image, label, values):
    for path in (root / image, root / label):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(root / image)
    Image.fromarray(np.resize(np.array(values, np.uint8), SIZE)).save(root / label)


# Where an image and its labels lie, what the splits are called, and labels that the training images have.
PLACES = {
    "camvid": ("{split}/{name}", "{split}annot/{name}", ("train", "val"), range(12)),
    "nyu": ("{split}/rgb/{name}", "{split}/labels_40/{name}", ("train", "test"), range(24)),
    "pet": ("images/{split}_{name}", "annotations/trimaps/{split}_{name}", ("trainval", "test"), range(1, 4)),
    "ade20k": ("images/{split}/{name}", "annotations/{split}/{name}", ("training", "validation"), range(24)),
    "cityscapes": (
        "leftImg8bit/{split}/ulm/{name}_leftImg8bit",
        "gtFine/{split}/ulm/{name}_gtFine_labelIds",
        ("train", "val"),
        range(10, 34),
    ),
    "folder": ("images/{split}/{name}", "masks/{split}/{name}", ("train", "val"), range(24)),
}
every_set = pytest.mark.parametrize("name", PLACES)


def place(root, name, split, stem, image=".jpg", label=".png"):
    """The files of one image, in any data set; split: 0 to train on, 1 to judge."""
    images, labels, splits, _ = PLACES[name]
    parts = {"split": splits[split], "name": stem}
    return root / f"{images.format(**parts)}{image}", root / f"{labels.format(**parts)}{label}"


def put(root, name, stem, image=".jpg", label=".png", splits=(0, 1)):
    for split in splits:
        files = place(root, name, split, stem, image, label)
        write(root, *files, PLACES[name][3])
        if name == "pet":
            with open(root / f"annotations/{PLACES[name][2][split]}.txt", "a") as listing:
                listing.write(f"{files[0].stem} 1 1 1\n")


def opened(name, root, **options):
    """The data, what was said about the files of each split, and the warnings about the labels."""
    options = {"classes": 24, "size": SIZE} | options if name == "folder" else {"size": SIZE} | options
    said, warned = [], []
    kept = root.parent / "kept"
    size = options.pop("size")
    data = load(name, root, size, 0, kept=kept, quiet=True, say=said.append, warn=warned.append, **options)
    return data, said, warned
