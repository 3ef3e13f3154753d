"""Class counts of any data set, kept in a file; and those that are known."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import pat_triton
from pat_triton import class_counts
from pat_triton.counts import CAMVID, CITYSCAPES


def labels():
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 5, (6, 8, 9), generator=g)
    y[:, 0] = 255
    return y


LABELS = labels()
EXPECTED = [int((c == LABELS).sum()) for c in range(5)]
IMAGES = torch.zeros(6, 3, 8, 9)


class Mapped(torch.utils.data.Dataset):
    """Of which torch asks no more: no IndexError at the end."""

    def __init__(self, y):
        self.y = y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, number):
        return IMAGES[number % len(self)], self.y[number % len(self)]


KINDS = {
    "mapped": Mapped,
    "subset": lambda y: torch.utils.data.Subset(Mapped(y), range(len(y))),
    "part of a loader": lambda y: DataLoader(Mapped(y), 3),  # as many as colours
    "volumes": lambda y: [(torch.zeros(1, 6, 8, 9), y[None]), (torch.zeros(6, 8, 9), torch.full_like(y, 255))],
    "stacks": lambda y: [y[:3], y[3:]],
    "uint16": lambda y: [part.numpy().astype(np.uint16) for part in y],
    "pairs": lambda y: TensorDataset(IMAGES, y),
    "loader": lambda y: DataLoader(TensorDataset(IMAGES, y.to(torch.uint8)), 4),
    "dicts": lambda y: [{"pixel_values": x, "labels": part} for x, part in zip(IMAGES, y, strict=True)],
    "channel": lambda y: [(x, part[None]) for x, part in zip(IMAGES, y, strict=True)],
    "arrays": lambda y: [part.numpy().astype(np.int16) for part in y],
    "images": lambda y: [(None, Image.fromarray(part.numpy().astype(np.uint8))) for part in y],
    "generator": lambda y: (part for part in y),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("progress", [False, True])
def test_every_kind_of_data(kind, progress):
    counts = class_counts(KINDS[kind](labels()), 5, progress=progress)
    assert counts.dtype == torch.int64
    assert counts.tolist() == EXPECTED


def test_labels_are_taken_out():
    data = [{"inputs": 0, "data_samples": part} for part in labels()]
    assert class_counts(data, 5, labels=lambda item: item["data_samples"], progress=False).tolist() == EXPECTED


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "loader" not in kind])
def test_on_another_default_device(kind):
    """But for torch's own loader, which draws a seed on that device, and reads it."""
    torch.set_default_device("meta")
    try:
        counts = class_counts(KINDS[kind](LABELS), 5, progress=False)
    finally:
        torch.set_default_device(None)
    assert counts.tolist() == EXPECTED


def test_a_cache_that_cannot_be_written_is_said_first(tmp_path):
    (tmp_path / "taken").write_text("")
    unread = (pytest.fail("the data were read") for _ in range(1))
    with pytest.raises(ValueError, match=r"^cache: got .*taken/counts\.json, expected a file in a folder that can be"):
        class_counts(unread, 5, cache=tmp_path / "taken" / "counts.json", progress=False)
    with pytest.raises(ValueError, match=r"^cache: got the folder .*, expected a file, such as .*/counts\.json$"):
        class_counts(unread, 5, cache=tmp_path, progress=False)


def test_a_loss_takes_them():
    counts = class_counts(KINDS["pairs"](labels()), 5, progress=False)
    assert pat_triton.BLVLoss(counts).class_counts.tolist() == EXPECTED


def test_counted_once(tmp_path):
    file = tmp_path / "new" / "counts.json"

    passes = []

    def data():
        yield from labels()
        passes.append("one")

    first = class_counts(data(), 5, cache=file, progress=False)
    assert torch.equal(class_counts(data(), 5, cache=str(file), progress=False), first)
    assert passes == ["one"]
    assert [path.name for path in file.parent.iterdir()] == ["counts.json"]  # and nothing half-written


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, (4,), "cache: FILE holds counts of 5 classes with ignore_index=255, expected the counts of 4 classes "
         "with ignore_index=255; choose another file, or remove this one"),
        (None, (5, -1), "cache: FILE holds counts of 5 classes with ignore_index=255, expected the counts of 5 classes "
         "with ignore_index=-1; choose another file, or remove this one"),
        ("[1, 2]", (5,), "cache: FILE cannot be read (TypeError("),
        ("{", (5,), "cache: FILE cannot be read (JSONDecodeError("),
    ],
)  # fmt: skip
def test_a_file_of_something_else(text, arguments, message, tmp_path):
    file = tmp_path / "counts.json"
    class_counts(labels(), 5, cache=file, progress=False)
    if text:
        file.write_text(text)
    before = file.read_text()
    with pytest.raises(ValueError, match="^" + re.escape(message.replace("FILE", str(file)))):
        class_counts(labels(), *arguments, cache=file, progress=False)
    assert file.read_text() == before


CHANNELS = (
    "data: got labels of shape {}, {} channels, in item {}, expected the class index of each pixel, (height, width); "
)
COLOURS = "is this the image, or a picture of the labels in colours?"


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (lambda y: [y, (0, y - 101)], {}, "data: item 1: 432 labels are neither a class 0..4 nor ignore_index=255: "),
        (lambda y: [(0, y.masked_fill(y == 255, -100))], {},
         "data: item 0: 54 labels are neither a class 0..4 nor ignore_index=255: -100 (54 pixels); to ignore these "
         "pixels pass ignore_index=-100"),
        (lambda y: [y, y.masked_fill(y == 255, 5)], {},
         "data: item 1: 54 labels are neither a class 0..4 nor ignore_index=255: 5 (54 pixels); if 5 means unlabelled "
         "pass ignore_index=5; if 0 does, and classes count from 1, pass labels.long() - 1 and ignore_index=-1"),
        (lambda y: [y, y.masked_fill(y == 255, 9)], {},
         "data: item 1: 54 labels are neither a class 0..4 nor ignore_index=255: 9 (54 pixels); map the data set's ids "
         "to 0..4 first, or raise num_classes"),
        (lambda y: [{"image": y}], {}, "data: got an item with the keys ['image'], expected exactly one of labels, "),
        (lambda y: [{"mask": y, "labels": y}], {},
         "data: got an item with the keys ['labels', 'mask'], expected exactly one of labels, label, mask, masks, "
         "target, segmentation, gt_sem_seg, semantic; pass a function that takes the labels out of an item, such as "
         "labels=lambda item: item['labels'] (item 0)"),
        (lambda y: [(y,)], {}, "data: got an item of length 1, expected (image, labels, ...); pass a function that"),
        (lambda y: [(0, "a.png")], {}, "data: expected labels in a tensor, an array or an image, got str in item 0"),
        (lambda y: [(0, y.float())], {}, "data: expected whole numbers as labels, got float32 in item 0; is this"),
        (lambda y: [y, y == 1], {}, "data: expected whole numbers as labels, got bool in item 1; write 0 for "
         "False and 1 for True"),
        (lambda y: [y.to_sparse()], {}, "data: expected a dense tensor, got sparse_coo; .to_dense() makes it dense"),
        (lambda y: [y.to("meta")], {}, "data: got a tensor on the device meta in item 0, which holds no labels"),
        (lambda y: [], {}, "data: found no pixel of the 5 classes, expected some; the data are empty"),
        (lambda y: [y[:, 0]], {}, "data: found no pixel of the 5 classes, expected some; all 54 pixels have "
         "ignore_index=255"),
        (lambda y: "labels", {}, "data: expected a data set or a loader, got str"),
        (lambda y: 5, {}, "data: expected a data set or a loader, got int, which has neither __iter__ nor "),
        (lambda y: list, {}, "data: expected a data set or a loader, got the class list"),
        (lambda y: y[0, 0, 0], {}, "data: expected a data set or a loader, got Tensor"),
        (lambda y: {"train": y}, {}, "data: got a dict with the keys ['train'], expected one data set or loader; pass"),
        # Several channels, each of which would be counted.
        (lambda y: [y[0], Image.new("RGB", (9, 8))], {}, "data: got a picture of mode RGB in item 1, expected one of a "
         "single channel, the class index of each pixel; is this the image, or a picture of the labels in colours?"),
        (lambda y: [np.zeros((8, 9, 3), np.uint8)], {}, CHANNELS.format("(8, 9, 3)", 3, 0) + COLOURS),
        (lambda y: [y[0], y[:1].repeat(3, 1, 1)], {}, CHANNELS.format("(3, 8, 9)", 3, 1) + COLOURS),
        (lambda y: [(IMAGES[0], y[:3])], {}, CHANNELS.format("(3, 8, 9)", 3, 0) + COLOURS),
        (lambda y: [(IMAGES[:2], y.view(2, 3, 8, 9))], {}, CHANNELS.format("(2, 3, 8, 9)", 3, 0) + COLOURS),
        (lambda y: [{"image": IMAGES[0], "mask": y[:4]}], {}, CHANNELS.format("(4, 8, 9)", 4, 0) + COLOURS),
        (lambda y: [torch.eye(5).long()[y[0] % 5].movedim(-1, 0)], {},
         CHANNELS.format("(5, 8, 9)", 5, 0) + "one-hot labels become class indices by .argmax over their channels"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted(data, arguments, message):
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)):
        class_counts(data(labels()), 5, progress=False, **arguments)


ONE = "data: found {} of {} pixels in class {} and the others ignored (ignore_index={}), expected pixels of several of"


@pytest.mark.parametrize(
    ("shift", "arguments", "message"),
    [
        # 0 and 1 of a background and one class, of which the background is ignored.
        ({0: 255, 1: 0}, (2,), ONE.format(2, 4, 0, 255)),
        # A mask of 0 and 255.
        ({0: 0, 1: 255}, (2,), ONE.format(2, 4, 0, 255)),
        ({0: -1, 1: 4}, (5, -1), ONE.format(2, 4, 4, -1)),
    ],
)
def test_all_but_one_class_is_ignored(shift, arguments, message):
    """Said at the end, of all the data, and once."""
    data = [torch.tensor([shift[0], shift[1]]), torch.tensor([[shift[1]], [shift[0]]])]
    with pytest.warns(UserWarning, match="^" + re.escape(message)) as seen:
        assert class_counts(data, *arguments, progress=False).sum() == 2
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        ([[0, 0], [0]], (2,)),  # of one class, but nothing is ignored
        ([[0, 255], [1]], (2,)),  # the other class comes later
        ([[0, 255]], (1,)),  # one class is all there is
        ([[0, 1]], (2, 0)),  # or all that is left of two, one of which is said to be ignored
    ],
)
def test_data_that_may_be_meant(data, arguments):
    class_counts(map(torch.tensor, data), *arguments, progress=False)


def test_what_is_known():
    """Cityscapes' with its unlabelled pixels are all pixels of 2975 images; CamVid's of 367."""
    assert len(CITYSCAPES) == 19
    assert sum(CITYSCAPES) + 715_747_311 == 2975 * 1024 * 2048
    assert len(CAMVID) == 11
    assert sum(CAMVID) + 2_503_995 == 367 * 360 * 480
    assert pat_triton.ClassBalancedLoss(CITYSCAPES).class_counts.tolist() == list(CITYSCAPES)
