"""What is trained on: images and labels changed alike, every image once in an epoch."""

import numpy as np
import pytest
import torch

from benchmarks.training.batches import Batches
from benchmarks.training.datasets import VOID, Held
from benchmarks.training.datasets.augmentation import GREY, Augmentation, Change

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
