"""Data sets are read as they are published, counted once, and changed alike in image and labels."""

import os

import numpy as np
import pytest
import torch
from camvid import camvid
from PIL import Image

from benchmarks import datasets
from benchmarks.datasets import VOID, load
from benchmarks.datasets.augmentation import GREY, Augmentation, Change
from benchmarks.datasets.catalogue import SETS
from benchmarks.training.batches import Batches

SIZE = (4, 6)


def write(root, image, label, values):
    for path in (root / image, root / label):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(root / image)
    Image.fromarray(np.resize(np.array(values, np.uint8), SIZE)).save(root / label)


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
    monkeypatch.setattr(datasets, "MEMORY", 3 * 32 * 48 * 4 - 1)
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
    read = type(layout).labels_of
    monkeypatch.setattr(type(layout), "labels_of", lambda self, pair: files.append(pair[1].name) or read(self, pair))
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


IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
LABELS = IMAGE[..., 0].copy()  # so that what happens to one can be seen in the other


def changed(size=(6, 8), mirrored=False, scale=1.0, at=(0.0, 0.0)):
    image, labels = Change(mirrored, scale, at, size)((IMAGE, LABELS))
    assert image.shape == (*size, 3)
    assert labels.shape == size
    return image, labels


def test_nothing_is_changed_by_default():
    image, labels = changed()
    assert np.array_equal(image, IMAGE)
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("at", "corner"), [((0.0, 0.0), (0, 0)), ((1.0, 1.0), (2, 3)), ((0.5, 0.4), (1, 1))])
def test_a_crop_is_a_part_of_both(at, corner, mirrored):
    image, labels = changed((4, 5), mirrored, 1.0, at)
    part = IMAGE[corner[0] : corner[0] + 4, corner[1] : corner[1] + 5][:, :: -1 if mirrored else 1]
    assert np.array_equal(image, part)
    assert np.array_equal(labels, part[..., 0])


def test_beside_a_small_image_nothing_is_labelled():
    """Taller and narrower than the crop: filled above and below, cropped at the sides."""
    image, labels = changed((10, 5), at=(0.25, 1.0))
    assert np.array_equal(labels[1:7], LABELS[:, 3:])
    assert (labels[[0, 7, 8, 9]] == VOID).all()
    assert (image[[0, 7, 8, 9]] == GREY).all()


def test_labels_are_not_mixed_by_a_scale():
    image, labels = changed((12, 16), scale=2.0)
    assert np.array_equal(labels, LABELS.repeat(2, 0).repeat(2, 1))
    assert set(np.unique(changed((3, 4), scale=0.5)[1])) <= set(np.unique(LABELS))
    assert abs(image.astype(float).mean() - IMAGE.mean()) < 2


def test_changes_are_drawn_as_they_are_asked_for():
    rng = torch.Generator().manual_seed(0)
    drawn = [Augmentation((0.5, 2.0), (4, 4)).draw(rng) for _ in range(400)]
    scales = torch.tensor([change.scale for change in drawn])
    assert 0.5 <= scales.min() < 0.52
    assert 1.98 < scales.max() <= 2.0
    assert 150 < sum(change.mirrored for change in drawn) < 250
    assert 0 <= min(change.at[0] for change in drawn) < max(change.at[0] for change in drawn) <= 1


def test_an_epoch_has_every_image_once():
    split = datasets.Held(np.arange(5, dtype=np.uint8).repeat(12).reshape(5, 2, 2, 3), np.zeros((5, 2, 2), np.uint8))
    batches = Batches(split, 5, 0)
    for _ in range(3):
        images, _ = next(batches)
        assert sorted(images[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]
