"""``torch.set_default_device`` says where a user's new tensors go, and nothing of those that a call was given."""

import copy
import pickle

import pytest
import torch
from cases import LOSSES, PATHS, example

import pat_triton
from pat_triton import metrics


@pytest.fixture
def elsewhere():
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


DRAWN = example((2, 7, 9, 13), torch.float32)


def stepped(loss, path):
    torch.manual_seed(0)
    criterion = copy.deepcopy(pickle.loads(pickle.dumps(loss.ours(path, weight=[1.0, 2, 3, 4, 5, 6, 7]))))
    z, y = DRAWN[0].to(path[1]).requires_grad_(), DRAWN[1].to(path[1])
    value, stats = criterion.half()(z, y, return_stats=True)
    value.backward()
    matrix = pat_triton.confusion_matrix(z, y, 7, backend=path[0])
    map_of = pat_triton.predict(z, (4, 5), backend=path[0])
    return value, z.grad, *stats, matrix, map_of, metrics.iou(matrix).mean, metrics.iou(stats, 3).by_class


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("path", PATHS)
def test_the_same_numbers(path, loss, elsewhere):
    given = stepped(loss, path)
    torch.set_default_device(None)
    for here, there in zip(given, stepped(loss, path), strict=True):
        torch.testing.assert_close(here, there, rtol=0, atol=0, equal_nan=True)
