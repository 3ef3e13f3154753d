"""Files of a data set as people have them: any ending, links, junk, turned photographs, and what is left out."""

import numpy as np
import pytest
from data_folders import PLACES, SIZE, every_set, opened, place, put
from PIL import Image


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
