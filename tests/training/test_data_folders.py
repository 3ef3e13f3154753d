"""``--data folder``: images and labels that lie together in any of the usual ways."""

import re

import pytest
from data_folders import SIZE, opened, put, write
from PIL import Image

WAYS = {
    "trees": ("images/train/x/{}.jpg", "labels/train/x/{}.png", "images/val/{}.jpg", "labels/val/{}.png"),
    "trees in splits": ("train/img/{}.JPG", "train/mask/{}.bmp", "valid/img/{}.JPG", "valid/mask/{}.bmp"),
    "other names": ("JPEGImages/Training/{}.jpg", "SegmentationClass/Training/{}.png",
                    "JPEGImages/Validation/{}.jpg", "SegmentationClass/Validation/{}.png"),
    "beside": ("train/{}.jpeg", "train/{}.PNG", "val/{}.jpeg", "val/{}.PNG"),
    "beside with a tag": ("train/{}.png", "train/{}_mask.png", "val/{}.png", "val/{}_Labels.tif"),
    "trees with a tag": ("images/train/{}.jpg", "masks/train/{}_mask.gif",
                         "images/val/{}.jpg", "masks/val/{}-label.png"),
    "a name like a tag in trees": ("images/train/{}_mask.jpg", "labels/train/{}_mask.png",
                                   "images/val/{}-gt.jpg", "labels/val/{}-gt.png"),
    "a name like a tag": ("train/{}_mask.jpg", "train/{}_mask.png", "val/{}_gt.jpg", "val/{}_gt.png"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_folders_of_any_kind(way, root):
    for name in "ab":
        for at in (0, 2):
            write(root, WAYS[way][at].format(name), WAYS[way][at + 1].format(name), range(24))
    data, said, warned = opened("folder", root)
    assert len(data.train) == len(data.val) == 2
    assert data.test is None
    assert data.train[0][1].flatten().tolist() == list(range(24))
    assert data.counts.tolist() == [2] * 24
    assert all(line.endswith("are used") for line in said)
    assert warned == []


@pytest.mark.parametrize(("image", "label"), [("images/{}.jpg", "labels/{}.png"), ("{}.jpg", "{}.png")])
def test_without_splits_every_fifth_image_is_judged(image, label, root):
    for number in range(12):
        write(root, image.format(number), label.format(number), range(24))
    data, said, _ = opened("folder", root)
    assert (len(data.train), len(data.val)) == (10, 2)
    assert "2 for validation, as no folder says which are" in said[0]
    assert "10 for training, as no folder says which are" in said[1]


def test_a_test_folder_is_judged(root):
    put(root, "folder", "a")
    write(root, "images/test/a.jpg", "masks/test/a.png", range(24))
    data, said, _ = opened("folder", root)
    assert data.judged is data.test is not None
    assert len(said) == 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "found no image with labels (no picture); --data folder expects images and labels of the same names in"),
        (["images/a.jpg", "labels/b.png"], "found no image with labels (1 images without labels; 1 labels without an"),
        (["train/a.jpg", "train/a.png"], "no folder val or valid or validation in it; --data folder expects images"),
        (["a.jpg", "a.png"], "found one image with labels, expected at least two, one of them for validation"),
        (["a.jpg", "a.bmp"], "(2 of a name that does not tell image from labels)"),
        (["images/a.jpg", "img/a.jpg", "labels/a.png"], "found the folders images and img, expected one of images, "),
    ],
)
def test_folders_that_say_nothing(files, message, root):
    root.mkdir()
    for file in files:
        (root / file).parent.mkdir(exist_ok=True)
        Image.new("L", SIZE[::-1]).save(root / file)
    with pytest.raises((FileNotFoundError, ValueError), match=re.escape(message)):
        opened("folder", root)
