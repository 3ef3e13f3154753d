"""What the PAT paper says, three ways."""

import math

import pytest
import torch
from cases import PATHS, Loss, assert_close, example, run

import pat_triton

P = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
TABLE_1 = [
    (Loss("PATLoss", {"variant": "table1", "temperature": 2.0}), "1.08 .85 .68 .54 .42 .31 .20 .10"),
    (Loss("PATLoss", {"variant": "table1", "temperature": 5.0}), "1.37 1.05 .81 .63 .47 .34 .21 .10"),
    (Loss("FocalLoss", {"gamma": 2.0}), "1.03 .59 .33 .17 .08 .03 .01 0"),
    (Loss("FocalLoss", {"gamma": 5.0}), ".53 .20 .07 .02 .01 0 0 0"),
]


def pixels(probabilities):
    """Two-class logits (N, 2, 1) whose class 0 has these probabilities: each pixel an image, so S = 1."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack((p.log(), (1 - p).log()), 1)[..., None], torch.zeros(len(p), 1, dtype=torch.int64)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("loss", "row"), TABLE_1, ids=str)
def test_table_1(loss, row, path):
    """All 32 values, to the digits printed (rounded either way at a tie)."""
    logits, target = pixels(P)
    ours, _ = run(loss, path, logits, target, reduction="none")
    printed = torch.tensor([float(v) for v in row.split()], dtype=torch.float64)
    assert ((ours[:, 0] - printed).abs() <= 0.00501).all()


def test_equation_5_is_not_table_1():
    logits, target = pixels([0.2])
    value = pat_triton.PATLoss(temperature=2.0, reduction="none")(logits, target)
    assert round(value.item(), 2) == 2.40


@pytest.mark.parametrize("path", PATHS)
def test_mask_sizes_balance_the_image(path):
    """At equal p each class of an image weighs the same, however few pixels it has."""
    logits = torch.zeros(1, 3, 100)
    target = torch.tensor([0] * 90 + [1] * 9 + [2])[None]
    terms, _ = run(Loss("PATLoss"), path, logits, target, reduction="none")
    sums = torch.stack([terms[target == c].sum() for c in range(3)])
    torch.testing.assert_close(sums, sums[:1].expand(3), rtol=1e-6, atol=0)


@pytest.mark.parametrize("path", PATHS)
def test_the_release_divides_by_every_element(path):
    logits, target = example((2, 7, 9, 13))
    y = target.clamp(max=6)
    onehot = torch.nn.functional.one_hot(y, 7).movedim(-1, 1) * (target != 255)[:, None]
    log_p = (logits / 3.0).log_softmax(1)
    truth = (-log_p * onehot / (2 * torch.exp(log_p.exp() - 1))).mean()
    value, _ = run(Loss("PATLoss", {"variant": "release", "temperature": 3.0}), path, logits, target)
    assert_close("loss", value, truth, 1e-12)


def test_a_normalised_beta_is_a_loss_weight():
    logits, target = example((2, 7, 9, 13))
    T, eps = 5.0, 0.1
    ours = pat_triton.PATLoss(T, eps, loss_weight=math.exp(-(1 - eps) / T))(logits, target)
    highest = math.exp((1 - eps) / T)
    torch.testing.assert_close(ours, pat_triton.PATLoss(T, eps)(logits, target) / highest)
