"""Data sets are read as they are published, and counted once."""

import os
import re

import numpy as np
import pytest
import torch
from camvid import camvid
from data_folders import PLACES, SIZE, opened, place, put, write
from PIL import Image

from benchmarks.training.batches import Batches
from benchmarks.training.datasets import VOID, load
from benchmarks.training.datasets.augmentation import Augmentation
from benchmarks.training.datasets.catalogue import SETS


def nyu(root):
    for split in ("train", "test"):
        write(root, f"{split}/rgb/0001.png", f"{split}/labels_40/0001.png", [0, 1, 40])
    return [VOID, 0, 39]


def pet(root):
    for split, name in (("trainval", "Abyssinian_1"), ("test", "pug_10")):
        write(root, f"images/{name}.jpg", f"annotations/trimaps/{name}.png", [1, 2, 3])
        (root / f"annotations/{split}.txt").write_text(f"# name class species breed\n{name} 1 1 1\n")
    write(root, "images/unlisted_1.jpg", "annotations/trimaps/unlisted_1.png", [9])
    return [0, 1, 2]


def ade20k(root):
    for split in ("training", "validation"):
        write(root, f"images/{split}/a.jpg", f"annotations/{split}/a.png", [0, 1, 150])
    return [VOID, 0, 149]


def cityscapes(root):
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    for split in ("train", "val"):
        for first, name in enumerate(("ulm/ulm_0_0", "bonn/bonn_0_1")):
            values = [*ids[12 * first :][:12], *range(6), 255]
            write(
                root,
                f"leftImg8bit/{split}/{name}_leftImg8bit.png",
                f"gtFine/{split}/{name}_gtFine_labelIds.png",
                values,
            )
    # Bonn comes before Ulm.
    return [*range(12, 19), *[VOID] * 7]


@pytest.mark.parametrize("name", ["nyu", "pet", "ade20k", "cityscapes"])
def test_labels_become_classes(name, tmp_path):
    expected = globals()[name](tmp_path)
    data = load(name, tmp_path, SIZE, 0, kept=tmp_path)
    image, labels = data.train[0]
    assert image.shape == (*SIZE, 3)
    assert labels.flatten().tolist() == np.resize(expected, SIZE).flatten().tolist()
    assert data.test is None
    assert data.judged is data.val
    assert len(data.train) == len(data.val) == (2 if name == "cityscapes" else 1)
    assert len(data.counts) == len(SETS[name].classes.names) == len(SETS[name].classes.colours)


def test_cityscapes_has_its_19_classes(tmp_path):
    cityscapes(tmp_path)
    labels = np.concatenate([sample[1] for sample in load("cityscapes", tmp_path, SIZE, 0, kept=tmp_path).train])
    assert sorted(set(labels.flatten().tolist())) == [*range(19), VOID]


def test_folders_like_ade20k(tmp_path):
    for split in ("training", "validation"):
        write(tmp_path, f"images/{split}/a.jpg", f"annotations/{split}/a.png", [0, 1, 7])
    assert load("ade20k", tmp_path, SIZE, 0, classes=7, kept=tmp_path).classes.names[-1] == "class 7"
    with pytest.raises(ValueError, match="found the label ids 7, expected those of ade20k: 0 to 6"):
        load("ade20k", tmp_path, SIZE, 0, classes=6, kept=tmp_path)
    with pytest.raises(ValueError, match="--classes: got 7, expected none: nyu has 40"):
        load("nyu", tmp_path, SIZE, 0, classes=7)


def test_ade20k_names_its_classes(tmp_path):
    ade20k(tmp_path)
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{i}\t0.1\t2\t3\tthing {i}, stuff" for i in range(1, 151))]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(lines) + "\n")
    assert load("ade20k", tmp_path, SIZE, 0, kept=tmp_path).classes.names[:2] == ("thing 1", "thing 2")
    (tmp_path / "objectInfo150.txt").write_text("\n".join(lines[:9]))
    with pytest.raises(ValueError, match=r"objectInfo150\.txt: expected a heading and 150 lines of five columns"):
        load("ade20k", tmp_path, SIZE, 0, kept=tmp_path)


def test_a_list_names_what_is_not_there(tmp_path):
    pet(tmp_path)
    (tmp_path / "annotations/test.txt").write_text("pug_11 1 1 1\n")
    with pytest.raises(FileNotFoundError, match=r"pug_11\.jpg: no such file, expected an image that is listed"):
        load("pet", tmp_path, SIZE, 0)
    (tmp_path / "annotations/test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test\.txt: no such file, expected the names of the images in"):
        load("pet", tmp_path, SIZE, 0)


def test_a_test_split_is_judged(tmp_path):
    data = load("camvid", camvid(tmp_path / "camvid", ("train", "val", "test")), SIZE, 0, kept=tmp_path)
    assert data.judged is data.test is not None


def test_large_splits_are_read_each_time(tmp_path, monkeypatch):
    root = camvid(tmp_path / "camvid")
    held = load("camvid", root, (32, 48), 0, kept=tmp_path)
    monkeypatch.setattr("benchmarks.training.datasets.MEMORY", 3 * 32 * 48 * 4 - 1)
    read = load("camvid", root, (32, 48), 0, kept=tmp_path)
    assert type(read.train) is not type(held.train)
    a, b = (Batches(data.train, 2, 0, Augmentation((0.5, 2), (24, 40))) for data in (read, held))
    for _ in range(3):
        for one, other in zip(next(a), next(b), strict=True):
            assert torch.equal(one, other)


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """(a data set's root, the files whose labels were counted)."""
    root = camvid(tmp_path / "camvid")
    files = []
    layout = SETS["camvid"].layout
    read = type(layout).bytes_of
    monkeypatch.setattr(type(layout), "bytes_of", lambda self, pair: files.append(pair[1].name) or read(self, pair))
    return root, files


def test_classes_are_counted_once(counted, tmp_path):
    """At the labels' own size, whatever the working size; files that changed are counted again."""
    root, files = counted
    first = load("camvid", root, (32, 48), 0, kept=tmp_path / "kept").counts
    assert sorted(files) == ["0.png", "1.png", "2.png"]
    raw = np.stack([np.asarray(Image.open(root / "trainannot" / name)) for name in sorted(files)])
    assert first.tolist() == np.bincount(raw.flatten(), minlength=12)[:11].tolist()
    assert torch.equal(load("camvid", root, (8, 12), 0, kept=tmp_path / "kept").counts, first)
    assert len(files) == 3

    changed = root / "trainannot" / "1.png"
    Image.new("L", (48, 32), 5).save(changed)
    os.utime(changed, (1, 1))
    again = load("camvid", root, (32, 48), 0, kept=tmp_path / "kept").counts
    assert len(files) == 6
    assert not torch.equal(again, first)
    assert len(list((tmp_path / "kept").glob("class_counts-camvid-*.json"))) == 2


LISTS = {
    "utf-8": lambda text: text.encode(),
    "with a mark": lambda text: text.encode("utf-8-sig"),
    "of Windows": lambda text: text.replace("\n", "\r\n").encode("utf-16"),  # as PowerShell's > writes it
    "comments": lambda text: b"# image class\n\n" + text.encode(),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_as_systems_write_them(kind, root, tmp_path):
    put(root, "pet", "\u00fcber")
    for split in PLACES["pet"][2]:
        (root / f"annotations/{split}.txt").write_bytes(LISTS[kind](f"{split}_\u00fcber 1 1 1\n"))
    assert len(load("pet", root, SIZE, 0, kept=tmp_path).train) == 1


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (b"", "found no name in it, expected the names of the images in ROOT/images, one in each line"),
        (b"\xef\xbb\xbf# Abyssinian\n\n", "found no name in it, expected the names of the images in ROOT/images"),
        (b"\xfcber 1 1 1\n", "found bytes that are no text in UTF-8 ("),
    ],
)
def test_lists_that_name_nothing(held, message, root):
    put(root, "pet", "a")
    listing = root / "annotations/trainval.txt"
    listing.write_bytes(held)
    with pytest.raises(ValueError, match="^" + re.escape(f"{listing}: {message.replace('ROOT', str(root))}")):
        load("pet", root, SIZE, 0)


def cityscapes_ids(root, train_ids, label_ids=True, at="ab"):
    for stem in "ab":
        put(root, "cityscapes", stem)
        for split in range(2):
            label = place(root, "cityscapes", split, stem)[1]
            if train_ids and stem in at:
                values = np.array([*range(19), *[255] * 5], np.uint8).reshape(SIZE)
                Image.fromarray(values).save(str(label).replace("labelIds", "labelTrainIds"))
            if not label_ids:
                label.unlink()
            Image.new("L", SIZE[::-1]).save(str(label).replace("labelIds", "color"))


@pytest.mark.parametrize("label_ids", [True, False])
def test_cityscapes_train_ids(label_ids, root):
    cityscapes_ids(root, True, label_ids)
    data, said, warned = opened("cityscapes", root)
    assert data.train[0][1].flatten().tolist() == [*range(19), *[VOID] * 5]
    assert data.counts.tolist() == [2] * 19
    assert said[0].endswith("are used")
    assert warned == []


def test_label_ids_where_train_ids_are_not_whole(root):
    cityscapes_ids(root, True, at="a")
    assert opened("cityscapes", root)[0].train[1][1].flatten().tolist()[:3] == [VOID, 2, 3]
