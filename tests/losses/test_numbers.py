"""A number is one whatever holds it: Python, NumPy or a tensor; and what was given can be read again."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from cases import CPU, GPU, PATHS, example

import pat_triton as pt
from pat_triton.adjustment import Margin, Scale, Variation
from pat_triton.curves import Exponential, Focal
from pat_triton.weights import EffectiveNumber

KINDS = {
    "float32": np.float32,
    "int64": np.int64,
    "array": np.array,
    "fraction": Fraction,
    "tensor": torch.tensor,
    "bfloat16": lambda value: torch.tensor(value, dtype=torch.bfloat16),
}
TAKEN = {
    "temperature": pt.PATLoss,
    "epsilon": pt.PATLoss,
    "gamma": pt.FocalLoss,
    "max_margin": pt.LDAMLoss,
    "scale": pt.LDAMLoss,
    "sigma": pt.BLVLoss,
    "loss_weight": pt.CrossEntropyLoss,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TAKEN)
def test_every_kind_of_number(name, kind):
    criterion = TAKEN[name](**{name: KINDS[kind](3)})
    assert type(getattr(criterion, name)) is float
    assert getattr(criterion, name) == 3
    assert repr(criterion) == repr(TAKEN[name](**{name: 3.0}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_weights_of_heads(path, kind):
    logits, target = example((2, 5, 3, 4))
    criterion = pt.PATLoss(backend=path[0]).to(path[1])
    heads, target = [logits.to(path[1])] * 2, target.to(path[1])
    expected = criterion(heads, target, weights=[2.0, 3.0])
    assert torch.equal(criterion(heads, target, weights=[KINDS[kind](2), KINDS[kind](3)]), expected)
    assert torch.equal(criterion(heads, target, weights=np.array([2, 3])), expected)
    assert torch.equal(criterion(heads, target, weights=torch.tensor([2, 3])), expected)


def test_class_numbers_in_arrays_of_any_strides():
    counts = np.array([2**53 + 1, 3, 5])
    assert pt.LDAMLoss(counts[::-1]).class_counts.tolist() == [5, 3, 2**53 + 1]
    assert pt.LDAMLoss(counts.astype(np.uint16)).class_counts.tolist() == [1, 3, 5]
    assert pt.FocalLoss(weight=np.array([0.1, 3, 5])[::-1]).weight.tolist() == torch.tensor([5, 3, 0.1]).tolist()


@pytest.mark.parametrize(
    ("criterion", "given"),
    [
        (pt.PATLoss(7, 0.5, "table1", True), {"temperature": 7, "epsilon": 0.5, "variant": "table1"}),
        (pt.PATLoss(detach_weight=True), {"temperature": 20, "epsilon": 0, "variant": "paper", "detach_weight": True}),
        (pt.PATLoss(3, variant="release"), {"temperature": 3, "epsilon": 0, "variant": "release"}),
        (pt.ClassBalancedLoss(beta=0.9), {"beta": 0.9}),
        (pt.ClassBalancedFocalLoss(), {"beta": None, "gamma": 2}),
        (pt.BLVLoss(distribution="uniform"), {"sigma": 4, "distribution": "uniform"}),
    ],
)
def test_what_was_given_can_be_read(criterion, given):
    assert {name: getattr(criterion, name) for name in given} == given


def test_what_is_read_is_what_counts_now():
    pat, focal, ldam, blv, cb = pt.PATLoss(), pt.FocalLoss(), pt.LDAMLoss(), pt.BLVLoss(), pt.ClassBalancedLoss()
    pat.curve, focal.curve, cb.weights = Exponential(-5.0, 0.25, 0.0), Focal(0.5), EffectiveNumber(0.99)
    ldam.adjustment, blv.adjustment = (Margin(0.3), Scale(10)), Variation(0.5, "xavier")
    assert (pat.temperature, pat.epsilon, pat.variant, pat.detach_weight) == (5, 0.25, "table1", True)
    assert (focal.gamma, ldam.max_margin, ldam.scale, blv.sigma, cb.beta) == (0.5, 0.3, 10, 0.5, 0.99)
    focal.curve = "cross_entropy"
    assert not hasattr(focal, "gamma")


def test_a_subclass_may_keep_its_own():
    class Mine(pt.PATLoss):
        def __init__(self, temperature):
            super().__init__(temperature)
            self.temperature = f"{temperature} degrees"

    assert Mine(5).temperature == "5 degrees"


WRONG = {"negative": [1.0, -1.0], "nan": [1.0, torch.nan], "inf": [torch.inf, 1.0], "nothing": [0.0, 0.0]}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("path", PATHS)
def test_wrong_weights_that_nobody_looks_at(path, wrong, monkeypatch):
    """As on a GPU, where looking would wait: they make the loss nan, as a wrong label does."""
    logits, target = example((2, 2, 3, 4))
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    given = torch.tensor(WRONG[wrong], device=path[1])
    assert pt.FocalLoss(weight=given, backend=path[0])(logits.to(path[1]), target.to(path[1])).isnan()
    with pytest.raises(ValueError, match=r"^weight: "):
        pt.FocalLoss(weight=given, validate=True)
    monkeypatch.setenv("PAT_TRITON_VALIDATE", "1")
    with pytest.raises(ValueError, match=r"^weight: "):
        pt.FocalLoss(weight=given)


def test_right_weights_that_nobody_looks_at(monkeypatch):
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    assert pt.FocalLoss(weight=torch.tensor([3, 0])).weight.tolist() == [3, 0]


@pytest.mark.skipif(GPU == CPU, reason="needs a GPU")
def test_weights_on_a_gpu_are_not_waited_for(no_host_sync):
    given, criterion = torch.ones(5, device=GPU), pt.FocalLoss().to(GPU)
    with no_host_sync():
        criterion.weight = given
        pt.CrossEntropyLoss(given)


@pytest.mark.parametrize("kind", ["float32", "int64", "tensor"])
def test_weights_of_heads_in_a_graph(kind):
    logits, target = example((2, 5, 3, 4))
    criterion, given = pt.PATLoss(), [KINDS[kind](2), KINDS[kind](3)]
    torch._dynamo.reset()
    compiled = torch.compile(lambda z: criterion([z, z], target, weights=given), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits), criterion([logits, logits], target, weights=[2.0, 3.0]))
    torch._dynamo.reset()
