"""Data sets are read as they are published, counted once, and changed alike in image and labels."""

import os
import re

import numpy as np
import pytest
import torch
from camvid import camvid
from PIL import Image

from benchmarks.training.batches import Batches
from benchmarks.training.datasets import VOID, Held, load
from benchmarks.training.datasets.augmentation import GREY, Augmentation, Change
from benchmarks.training.datasets.catalogue import SETS
from benchmarks.training.datasets.choose import chosen

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


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@every_set
def test_endings_in_any_case(name, root):
    endings = (".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".PNG", ".bmp", ".tif", ".TIFF", ".webp")
    for number, ending in enumerate(endings):
        put(root, name, f"{number}", ending, (".png", ".PNG", ".bmp", ".tif")[number % 4])
    data, said, _ = opened(name, root)
    assert len(data.train) == len(data.val) == len(endings)
    assert [line.partition(": ")[0] for line in said] == ["train", "val"]
    assert all(f": {len(endings)} images of " in line for line in said)


@every_set
def test_links_to_folders_are_followed_once(name, root, tmp_path):
    """A folder elsewhere, a link to the folder above, which would not end, and one to a folder that is there."""
    put(root, name, "a")
    put(tmp_path / "elsewhere", name, "b")
    for at in range(2):
        for split in range(2):
            folder = place(root, name, split, "a")[at].parent
            if not (folder / "linked").exists():
                (folder / "linked").symlink_to(place(tmp_path / "elsewhere", name, split, "b")[at].parent)
                (folder / "twice").symlink_to(folder / "linked")
                (folder / "own").mkdir()
                (folder / "zero").symlink_to(folder / "own")
                (folder / "again").symlink_to(folder)
                (folder / "own" / "above").symlink_to(folder.parent)
    if name == "pet":
        for split in PLACES[name][2]:
            (root / f"annotations/{split}.txt").write_text(f"{split}_a 1\nlinked/{split}_b 1\n")
    data, said, _ = opened(name, root)
    assert len(data.train) == len(data.val) == 2
    if name != "pet":
        assert all(line.startswith(("train: 2 images of 2 files", "val: 2 images of 2 files")) for line in said)
        assert all(line.endswith("are used") for line in said)


JUNK = (
    "._a.jpg", "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/a-checkpoint.jpg",
    "__MACOSX/a.jpg", "@eaDir/a.jpg", ".hidden.png", "$RECYCLE.BIN/a.png",
)  # fmt: skip


def litter(folder):
    for junk in JUNK:
        (folder / junk).parent.mkdir(exist_ok=True)
        (folder / junk).write_bytes(b"Mac OS X")


@every_set
def test_junk_is_left_out(name, root):
    put(root, name, "a")
    for at in range(2):
        litter(place(root, name, 0, "a")[at].parent)
    data, said, _ = opened(name, root)
    assert len(data.train) == 1
    assert "left there by the system (" in said[0]
    assert "without" not in said[0]
    assert "unknown" not in said[0]


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


@every_set
def test_what_is_left_out_is_said(name, root):
    for stem in "ab":
        put(root, name, stem)
    image, label = place(root, name, 0, "c")
    Image.new("L", SIZE[::-1]).save(label)
    image.with_suffix(".heic").write_bytes(b"0")
    place(root, name, 0, "d")[0].symlink_to(root / "nowhere.jpg")
    data, said, _ = opened(name, root)
    assert len(data.train) == 2
    assert "train: 2 images of " in said[0]
    assert f"1 labels without an image ({label.name})" in said[0]
    assert f"1 of unknown endings ({image.stem}.heic)" in said[0]
    assert f"1 links to nothing ({place(root, name, 0, 'd')[0].name})" in said[0]


@every_set
def test_images_without_labels(name, root):
    """Left out of a folder, with a word; of a data set that is published with them the copy is not whole."""
    for stem in "abcdef":
        put(root, name, stem)
    gone = [place(root, name, 0, stem) for stem in "abcd"]
    for _, label in gone:
        label.unlink()
    if name in ("folder", "ade20k"):
        data, said, _ = opened(name, root)
        assert len(data.train) == 2
        names = ", ".join(image.name for image, _ in gone[:3])
        assert f"train: 2 images of 6 files in {gone[0][0].parent} are used" in said[0]
        assert f"4 images without labels ({names}, ...)" in said[0]
    else:
        image, label = gone[0]
        with pytest.raises(FileNotFoundError, match=f"{label}: no such file, expected the labels of {image}"):
            opened(name, root)


def test_one_image_of_a_name(root):
    """Not both with the labels that were made for one."""
    put(root, "ade20k", "a")
    put(root, "ade20k", "a", ".PNG")
    data, said, _ = opened("ade20k", root)
    assert len(data.train) == 1
    assert "1 other images of the same name (a.jpg)" in said[0]


def test_accents_are_the_same_however_they_are_written(root):
    put(root, "folder", "a")
    for split in range(2):
        image, label = place(root, "folder", split, "a")
        image.rename(image.with_stem("u\u0308ber"))
        label.rename(label.with_stem("\u00fcber"))
    assert len(opened("folder", root)[0].train) == 1


def photographed(file, orientation, size=(4, 6)):
    """White above and black below, as it is seen upright; size: (height, width) then."""
    seen = Image.new("RGB", size[::-1])
    seen.paste((255, 255, 255), (0, 0, size[1], size[0] // 2))
    transpose = Image.Transpose
    back = {
        1: None, 2: transpose.FLIP_LEFT_RIGHT, 3: transpose.ROTATE_180, 4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE, 6: transpose.ROTATE_90, 7: transpose.TRANSVERSE, 8: transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    (seen if back is None else seen.transpose(back)).save(file, exif=exif, quality=100)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_their_labels(orientation, ending, root):
    put(root, "folder", "a", ending)
    photographed(place(root, "folder", 0, "a", ending)[0], orientation)
    image = opened("folder", root)[0].train[0][0]
    assert (image[:2] > 200).all()
    assert (image[2:] < 55).all()


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(("orientation", "white"), [(5, "left"), (6, "left"), (7, "right"), (8, "right")])
def test_labels_of_a_photograph_that_was_not_turned(orientation, white, ending, root):
    """By their size: they are of the pixels as they are stored."""
    put(root, "folder", "a", ending)
    photographed(place(root, "folder", 0, "a", ending)[0], orientation, SIZE[::-1])
    image = opened("folder", root)[0].train[0][0]
    bright, dark = (image[:, :3], image[:, 3:]) if white == "left" else (image[:, 3:], image[:, :3])
    assert (bright > 200).all()
    assert (dark < 55).all()


@every_set
def test_every_data_set_turns_photographs(name, root):
    put(root, name, "a")
    photographed(place(root, name, 0, "a")[0], 6)
    assert (opened(name, root)[0].train[0][0][:2] > 200).all()


def test_photographs_of_16_bits(root):
    put(root, "folder", "a", ".png")
    Image.fromarray(np.full(SIZE, 100 << 8, np.uint16)).save(place(root, "folder", 0, "a", ".png")[0])
    assert (opened("folder", root)[0].train[0][0] == 100).all()


def test_a_wrong_size_is_said_of_the_turned_photograph(root):
    put(root, "folder", "a")
    image, label = place(root, "folder", 0, "a")
    photographed(image, 6, (8, 10))
    with pytest.raises(ValueError, match=f"{label}: found 4 x 6 pixels, expected 8 x 10, the size of {image}"):
        opened("folder", root)


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
    "one class and no other": ("folder", [0], {"classes": 2}, ["class 1", "one class, class 0: whatever"]),
    "pets alone": ("pet", [1], {}, ["background, border", "one class, pet: whatever"]),
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
    monkeypatch.setitem(globals(), "SIZE", options.get("size", SIZE))
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


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "found no image with labels (no picture); --data folder expects images and labels of the same names in"),
        (["images/a.jpg", "labels/b.png"], "found no image with labels (1 images without labels; 1 labels without an"),
        (["train/a.jpg", "train/a.png"], "no folder val or valid or validation in it; --data folder expects images"),
        (["a.jpg", "a.png"], "found one image with labels, expected some to train on and some to judge"),
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


def test_pixels_of_labels_are_counted_once(root, monkeypatch):
    """And again where the options say that they mean something else."""
    put(root, "folder", "a")
    first = opened("folder", root)[0].counts
    with monkeypatch.context() as patch:
        patch.setattr(type(chosen("folder", None, 24).layout), "bytes_of", None)
        assert torch.equal(opened("folder", root)[0].counts, first)
    assert opened("folder", root, classes=23, labels_from=1)[0].counts.tolist() == [1] * 23


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
    split = Held(np.arange(5, dtype=np.uint8).repeat(12).reshape(5, 2, 2, 3), np.zeros((5, 2, 2), np.uint8))
    batches = Batches(split, 5, 0)
    for _ in range(3):
        images, _ = next(batches)
        assert sorted(images[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]
