"""What the labels of a data set mean, and what they probably mean where they do not fit its classes."""

import re

import numpy as np
import pytest
import torch
from data_folders import SIZE, opened, place, put, write
from PIL import Image

from benchmarks.training.datasets import VOID
from benchmarks.training.datasets.choose import chosen


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        ({"classes": 3}, [0, 1, 2, 255], [0, 1, 2, VOID]),
        ({"classes": 3, "labels_from": 1}, [0, 1, 2, 3, 255], [VOID, 0, 1, 2, VOID]),
        ({"classes": 3, "ignore": [7]}, [0, 1, 2, 7], [0, 1, 2, VOID]),
        ({"classes": 3, "ignore": [7, 255]}, [0, 1, 2, 7, 255], [0, 1, 2, VOID, VOID]),
        ({"classes": 3, "ignore": [0], "labels_from": 1}, [0, 1, 2, 3], [VOID, 0, 1, 2]),
    ],
)
@pytest.mark.parametrize("name", ["folder", "ade20k"])
def test_what_labels_mean_can_be_said(name, options, values, expected, root):
    put(root, name, "a")
    for split in range(2):
        write(root, *place(root, name, split, "a"), values)
    if name == "ade20k":  # whose own meanings are others
        options = {"labels_from": 0, "ignore": [255]} | options
    data, _, warned = opened(name, root, **options)
    assert data.train[0][1].flatten().tolist() == np.resize(expected, 24).tolist()
    assert data.classes.names[0] == f"class {options.get('labels_from', 0)}"
    assert warned == []


def labelled(root, name, values, **options):
    """What is said of a data set whose labels are all these."""
    put(root, name, "a")
    for split in range(2):
        write(root, *place(root, name, split, "a"), values)
    return opened(name, root, **options)[2]


ONE = "all labelled pixels are of one class, class {}, and all else is ignored (the labels {})"
FROM_0 = "of which 0 is ignored, and not {}; do they count from 0, and 0 is a class?"
DOUBTS = {
    "background that vanishes": ("ade20k", [0, 1], {"classes": 2}, [
        "1 of the 2 classes have no pixel in the training labels: class 2", ONE.format(1, 0),
        FROM_0.format(2) + " --labels-from 0"]),
    "all 150": ("ade20k", [0, 1], {}, ["149 of the 150 classes", ONE.format(1, 0), FROM_0.format(150)]),
    "from 0": ("ade20k", range(5), {"classes": 5}, ["class 5", "0 to 4, " + FROM_0.format(5)]),
    "folder from 0": ("folder", range(5), {"classes": 5, "labels_from": 1}, ["class 5", FROM_0.format(5)]),
    "nyu from 0": ("nyu", [0, 39], {}, ["39 of the 40 classes", "all labelled", FROM_0.format(40)]),
    "from 1": ("folder", [1, 2, 3], {"classes": 4}, [
        "1 of the 4 classes have no pixel in the training labels: class 0",
        "found the labels 1 to 3, and not 0; do they count from 1? --labels-from 1"]),
    "camvid from 1": ("camvid", range(1, 12), {}, ["sky", "1 to 11, and not 0; do they count from 1?"]),
    "a mask": ("folder", [0, 255], {"classes": 2}, ["class 1", ONE.format(0, 255), "a mask of 0 and 255?"]),
    "train ids by another name": ("cityscapes", [*range(19), 255], {}, [
        "of the 19 classes have no pixel", "are these the classes 0 to 18 themselves"]),
    "a class that is not there": ("folder", [0, 1, 3], {"classes": 4}, ["1 of the 4 classes have no pixel"]),
    "a part of ade20k": ("ade20k", range(3), {"classes": 5}, ["3 of the 5 classes have no pixel"]),
    "one class and no other": ("folder", [0], {"classes": 2}, ["class 1", "one class, class 0: a network"]),
    "pets alone": ("pet", [1], {}, ["background, border", "one class, pet: a network"]),
    # And nothing of labels that are as they should be.
    "ade20k": ("ade20k", range(6), {"classes": 5}, []),
    "ade20k without void": ("ade20k", range(1, 6), {"classes": 5}, []),
    "folder": ("folder", [*range(5), 255], {"classes": 5}, []),
    "folder of two": ("folder", [0, 1], {"classes": 2}, []),
    "pet": ("pet", [1, 2, 3], {}, []),
    "camvid": ("camvid", range(12), {}, []),
    "nyu": ("nyu", range(1, 41), {"size": (5, 8)}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", DOUBTS)
def test_labels_that_look_like_something_else(case, root, monkeypatch):
    name, values, options, expected = DOUBTS[case]
    monkeypatch.setattr("data_folders.SIZE", options.get("size", SIZE))
    warned = labelled(root, name, values, **options)
    assert len(warned) == len(expected), warned
    for line, part in zip(warned, expected, strict=True):
        assert line.startswith(f"{name}: ")
        assert part in line


@pytest.mark.parametrize(
    ("name", "values", "options", "message"),
    [
        ("folder", range(1, 5), {"classes": 4}, "found the label ids 4, expected those of folder: 0 to 3 and 255; do "
         "they count from 1? --labels-from 1; otherwise --classes 5"),
        ("folder", [0, 1, 255], {"classes": 2, "ignore": [7]}, "found the label ids 255, expected those of folder: "
         "0, 1, 7; is 255 void? --ignore 255"),
        ("ade20k", [0, 255], {"classes": 2}, "found the label ids 255, expected those of ade20k: 0 to 2; is this a "
         "mask of 0 and 255? Write 1 instead of 255"),
        ("nyu", [0, 3, 255], {}, "found the label ids 255, expected those of nyu: 0 to 40; is 255 void?"),
        ("camvid", [0, 255], {}, "expected those of camvid: 0 to 11; is this a mask of 0 and 255? Write"),
        ("pet", [0, 1, 2], {}, "found the label ids 0, expected those of pet: 1 to 3; do they count from 0?"),
        ("pet", [9], {}, "found the label ids 9, expected those of pet: 1 to 3"),
        ("folder", [255], {"classes": 2}, "found no labelled pixel in train, expected some: the labels 255, which are "
         "all ignored; is this a mask of 0 and 255?"),
        ("ade20k", [0], {"classes": 2}, "found no labelled pixel in train, expected some: the labels 0, which are all "
         "ignored, of which 0 is ignored, and not 2; do they count from 0, and 0 is a class? --labels-from 0"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_read(name, values, options, message, root):
    with pytest.raises(ValueError, match=re.escape(message)):
        labelled(root, name, values, **options)


def test_labels_in_colours_and_in_jpeg(root):
    put(root, "folder", "a")
    label = place(root, "folder", 0, "a")[1]
    Image.new("RGB", SIZE[::-1]).save(label)
    with pytest.raises(
        ValueError, match=r"mode RGB, expected .*; is this the image, or a picture of the labels in col"
    ):
        opened("folder", root)
    label.unlink()
    Image.fromarray(np.full(SIZE, 77, np.uint8)).save(label.with_suffix(".jpg"))
    with pytest.raises(
        ValueError, match=r"ids 77, expected .*; JPEG changes labels, expected a file without loss such"
    ):
        opened("folder", root)


@pytest.mark.parametrize("mode", ["1", "I;16", "I", "P"])
def test_labels_of_other_depths(mode, root):
    ending = ".tif" if mode == "I" else ".png"
    put(root, "folder", "a", label=ending)
    values = np.resize(np.array([0, 1], np.uint8), SIZE)
    made = Image.fromarray(values.astype({"I;16": np.uint16, "I": np.int32}.get(mode, np.uint8)))
    if mode == "1":
        made = Image.fromarray(values * 255).convert("1")
    elif mode == "P":
        made.putpalette([0, 0, 0, 200, 100, 50])
    made.save(place(root, "folder", 0, "a", label=ending)[1])
    assert opened("folder", root)[0].train[0][1].tolist() == values.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("folder", None), "--data folder needs --classes N, the number of classes without those that are ignored"),
        (("nyu", None, 0), "--labels-from: got 0, expected none: what the labels of nyu mean is known; --data folder"),
        (("camvid", None, None, [1, 2]), "--ignore: got 1 2, expected none: what the labels of camvid mean is known"),
        (("scenes", None, None, [1]), "--ignore: got 1, expected none: what the labels of scenes mean is known"),
        (("folder", 3, 0, [0]), "--ignore: got 0, which is one of the 3 classes 0 to 2 (--classes, --labels-from), "
         "expected a label that is none. If labels count from 1 and 0 is void: --labels-from 1"),
        (("folder", 3, 1, [3]), "--ignore: got 3, which is one of the 3 classes 1 to 3"),
        (("folder", 3, 1, [300]), "--ignore: got 300, expected 0 to 255: labels are single bytes"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(arguments, message):
    name, *options = arguments
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        chosen(name, None, *options)


def test_pixels_of_labels_are_counted_once(root, monkeypatch):
    """And again where the options say that they mean something else."""
    put(root, "folder", "a")
    first = opened("folder", root)[0].counts
    with monkeypatch.context() as patch:
        patch.setattr(type(chosen("folder", None, 24).layout), "bytes_of", None)
        assert torch.equal(opened("folder", root)[0].counts, first)
    assert opened("folder", root, classes=23, labels_from=1)[0].counts.tolist() == [1] * 23
