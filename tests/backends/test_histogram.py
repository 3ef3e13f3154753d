"""Labels counted 32 at a time, by bit planes: every dtype, layout, size, number of classes, and label to ignore."""

import pytest
import torch
from cases import GPU

from pat_triton.backends.triton import backend, tiles

DTYPES = [torch.uint8, torch.int16, torch.int32, torch.int64]
# Of a program; a lane has 32 labels, which are of one class where all are.
BLOCK = 32 * tiles.histogram_tile(19, tiles.HISTOGRAM_LABELS, True, 32).LANES


@pytest.fixture(autouse=True)
def by_planes(monkeypatch):
    monkeypatch.setattr(tiles, "HISTOGRAM_LABELS", 0)


def counted(target, classes, ignored):
    """(counts, what they must be)."""
    truth = torch.zeros(len(target), classes + 1, dtype=torch.int64)
    for row, image in zip(truth, target, strict=True):
        kept = image[~torch.isin(image, torch.tensor(ignored, dtype=torch.int64))].long()
        row += kept.where((kept >= 0) & (kept < classes), classes).bincount(minlength=classes + 1)
    return backend.histogram(on_gpu(target), classes, ignored).cpu(), truth


def on_gpu(target):
    """With the same strides."""
    if target.device == GPU:
        return target
    storage = torch.empty(target.untyped_storage().nbytes() // target.itemsize, dtype=target.dtype)
    storage.set_(target.untyped_storage())
    return storage.to(GPU).as_strided(target.shape, target.stride(), target.storage_offset())


def drawn(*shape, of, dtype):
    return torch.randint(of, shape, generator=torch.Generator().manual_seed(0)).to(dtype)


LAYOUTS = {
    "packed": lambda y: y,
    "an image in two": lambda y: y[::2],
    "expanded": lambda y: y[:1].expand(3, -1, -1),
    "cropped": lambda y: y[:, 1:-1, 2:-3],
    "rows": lambda y: y[:, 1:-1],
    "every other": lambda y: y[..., ::2],
    "one column": lambda y: y[..., 1],
    "turned": lambda y: y.mT,
    "an odd start": lambda y: y.flatten()[1:-67].unflatten(0, (2, -1, 34)),
    "an odd size": lambda y: y[:, 0, :-1].contiguous(),
    "images apart": lambda y: y.flatten(1)[:, : y[0].numel() // 2].unflatten(1, (-1, 2)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layouts_of_labels(dtype, layout):
    target = LAYOUTS[layout](drawn(4, 18, 34, of=23, dtype=dtype))
    found, truth = counted(target, 19, (20, 3))
    assert torch.equal(found, truth)


def test_bytes_are_read_in_words_where_all_words_are_aligned():
    """Elsewhere a GPU would fail."""
    y, start = torch.zeros(2, 2, 32, dtype=torch.uint8, device=GPU), torch.zeros(200, dtype=torch.uint8, device=GPU)
    for target, packed in (
        (y, True),
        (y[:, :1], True),
        (y[:, :1, :20], True),
        (y.long(), False),
        (y[:, :1, :21], False),  # an image ends in a word
        (start[:132].view(2, 66)[:, :64], False),  # the second begins in one
        (start[1:129].view(2, 64), False),  # the first does
        (start[4:132].view(2, 64), True),
        (start[:128].view(2, 64)[:, ::2], False),
    ):
        launch = backend.planned_histogram(target, 19, (255,)).launch
        assert launch.constants["PACKED"] == packed, (target.shape, target.stride(), target.storage_offset())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_labels_apart(dtype):
    found, truth = counted(drawn(2, 2 * BLOCK + 200, of=9, dtype=dtype)[:, ::2], 7, (8,))
    assert torch.equal(found, truth)


@pytest.mark.parametrize("pixels", [1, 3, 4, 127, 128, 132, BLOCK - 4, BLOCK, BLOCK + 1, BLOCK + 8, 3 * BLOCK - 132])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64], ids=str)
def test_numbers_of_labels_and_classes(dtype, pixels):
    found, truth = counted(drawn(2, pixels, of=9, dtype=dtype), 7, (8,))
    assert torch.equal(found, truth)


@pytest.mark.parametrize("label", [0, 2, 7, 255])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32], ids=str)
def test_labels_that_are_all_the_same(dtype, label):
    """More of them than a byte counts, in a lane as in a program."""
    pixels = 2 * BLOCK + 8
    found, _ = counted(torch.full((1, pixels), label, dtype=dtype), 7, (255,))
    expected = torch.zeros(1, 8, dtype=torch.int64)
    if label != 255:
        expected[0, label] = pixels
    assert torch.equal(found, expected)


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 19, 21, 31, 32, 150, 254, 255, 256, 1000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_classes(dtype, classes):
    found, truth = counted(drawn(1, 500, of=min(classes + 9, 256), dtype=dtype), classes, (1,))
    assert torch.equal(found, truth)


EDGES = {
    torch.int16: [-1, 300, 256 + 3, -(2**15), 2**15 - 1, -100],
    torch.int32: [-1, 2**16 + 3, 2**8 + 3, -(2**31), 2**31 - 1, -100],
    torch.int64: [-1, 2**40, 2**32 + 3, 2**32 - 1, -(2**63), 2**63 - 1, -(2**32) + 5, -100],
}


@pytest.mark.parametrize("ignored", [(), (-100,), (-100, 255, 1)])
@pytest.mark.parametrize("dtype", EDGES, ids=str)
def test_wrong_labels_do_not_wrap_into_classes(dtype, ignored):
    edges = torch.tensor(EDGES[dtype], dtype=dtype)
    target = torch.cat((edges, torch.arange(8, dtype=dtype))).repeat(1, 20)
    found, truth = counted(target, 7, ignored)
    assert torch.equal(found, truth)
    assert found[0, -1] == 20 * (len(edges) + 1 - (-100 in ignored))


@pytest.mark.parametrize(
    "ignored", [(), (0,), (1,), (255,), (-100,), (7,), (8,), (19,), (255, 1, 0), (-1, 300), (2**32 + 3, 3 - 2**8)]
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64], ids=str)
def test_ignored_labels(dtype, ignored):
    """Classes, wrong labels, and such as the dtype does not hold, which are no other ones."""
    found, truth = counted(torch.arange(256).repeat(2).to(dtype)[None], 19, ignored)
    assert torch.equal(found, truth)


def test_where_labels_are_counted_one_by_one(monkeypatch):
    monkeypatch.undo()
    labels = tiles.HISTOGRAM_LABELS
    assert [
        tiles.histogram_tile(*case, warp=32) is None
        for case in ((254, labels, True), (255, labels, True), (19, labels - 1, True), (19, labels, False))
    ] == [False, True, True, True]
    target = drawn(1, labels, of=21, dtype=torch.uint8)
    for part in (target, target[:, 1:]):
        found, truth = counted(part, 19, (20,))
        assert torch.equal(found, truth)
