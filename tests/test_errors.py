"""Wrong arguments: each names the argument, what came, what was expected and the likely mistake, word for word."""

import re

import pytest
import torch
from cases import CPU, GPU, PATHS, Loss, example

import pat_triton as pt
from pat_triton.curves import Curve, Exponential

Z = torch.zeros(2, 19, 4, 6)
Y = torch.zeros(2, 4, 6, dtype=torch.int64)

CONSTRUCTORS = {
    "temperature: expected a number above 0, got 0": lambda: pt.PATLoss(temperature=0),
    "temperature: expected a number above 0, got -1.0": lambda: pt.PATLoss(temperature=-1.0),
    "temperature: expected a finite number, got inf": lambda: pt.PATLoss(temperature=float("inf")),
    "temperature: expected a number, got str": lambda: pt.PATLoss(temperature="20"),
    "temperature: expected a number other than 0, got 0": lambda: Exponential(0.0),
    "epsilon: expected a finite number, got nan": lambda: pt.PATLoss(epsilon=float("nan")),
    "epsilon: expected 0 with variant='release', which has none, got 0.1": lambda: pt.PATLoss(
        epsilon=0.1, variant="release"
    ),
    "variant: got 'papr', known: 'paper', 'table1', 'release'": lambda: pt.PATLoss(variant="papr"),
    "detach_weight: expected True or False, got 1": lambda: pt.PATLoss(detach_weight=1),
    "gamma: expected 0 or more, got -0.5": lambda: pt.FocalLoss(-0.5),
    "sigma: expected 0 or more, got -1": lambda: pt.BLVLoss(sigma=-1),
    "distribution: got 'normal', known: 'gaussian', 'uniform', 'xavier'": lambda: pt.BLVLoss(distribution="normal"),
    "beta: expected None or a number in [0, 1), got 1.0": lambda: pt.ClassBalancedLoss(beta=1.0),
    "beta: expected None or a number in [0, 1), got -0.1": lambda: pt.ClassBalancedFocalLoss(beta=-0.1),
    "max_margin: expected a number above 0, got 0": lambda: pt.LDAMLoss(max_margin=0),
    "scale: expected a number above 0, got -30": lambda: pt.LDAMLoss(scale=-30),
    "reduction: got 'avg', known: 'mean', 'sum', 'none'": lambda: pt.FocalLoss(reduction="avg"),
    "reduction: got None, known: 'mean', 'sum', 'none'": lambda: pt.FocalLoss(reduction=None),
    "backend: got 'cuda', known: 'auto', 'triton', 'torch'": lambda: pt.FocalLoss(backend="cuda"),
    "gradient: got 'two_pass', known: 'auto', 'one_pass', 'recompute'": lambda: pt.FocalLoss(gradient="two_pass"),
    "ignore_index: expected an int, got float": lambda: pt.FocalLoss(ignore_index=255.0),
    "ignore_index: expected an int, got NoneType": lambda: pt.FocalLoss(ignore_index=None),
    "loss_weight: expected a finite number, got nan": lambda: pt.FocalLoss(loss_weight=float("nan")),
    "validate: expected True or False, got 'yes'": lambda: pt.FocalLoss(validate="yes"),
    "align_corners: expected True or False, got None": lambda: pt.FocalLoss(align_corners=None),
    "curve: got 'pat', known: 'cross_entropy', 'focal', 'exponential'": lambda: pt.SegmentationLoss("pat"),
    "adjustment: expected a callable or a tuple of them, got 'ldam'": lambda: pt.SegmentationLoss(adjustment="ldam"),
    "weights: expected a callable rule, got [1.0]": lambda: pt.SegmentationLoss(weights=[1.0]),
    "class_counts: expected pixel counts, got [0.5, 0.25, 0.25]: frequencies, not counts": lambda: pt.LDAMLoss(
        [0.5, 0.25, 0.25]
    ),
    "class_counts: expected whole numbers of pixels, got [1.5, 3.0]": lambda: pt.LDAMLoss([1.5, 3.0]),
    "class_counts: expected numbers of 0 or more, got -1": lambda: pt.LDAMLoss([3, -1]),
    "class_counts: every count is 0": lambda: pt.LDAMLoss([0, 0]),
    "class_counts: expected finite numbers, got [inf, 1.0]": lambda: pt.LDAMLoss([float("inf"), 1]),
    "class_counts: expected one number a class, shape (L,), got shape (1, 2)": lambda: pt.LDAMLoss([[1, 2]]),
    "class_counts: expected a list, array or tensor of numbers, got 'cityscapes'": lambda: pt.LDAMLoss("cityscapes"),
    "weight: expected numbers of 0 or more, got -2": lambda: pt.CrossEntropyLoss([1.0, -2.0]),
    "weight: expected one number a class, shape (L,), got shape ()": lambda: pt.CrossEntropyLoss(2.0),
    "curve: the name 'focal' is taken by Focal": lambda: pt.register(type("Mine", (Curve,), {"name": "focal"})),
}


@pytest.mark.parametrize("message", CONSTRUCTORS)
def test_constructors(message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        CONSTRUCTORS[message]()


CALLS = {
    "logits: expected a torch.Tensor, got list": ([1.0], Y),
    "logits: expected float16, bfloat16, float32 or float64, got int64": (Z.long(), Y),
    "logits: expected (B, L, *spatial) with one to three spatial dimensions, got shape (2, 19)": (Z[..., 0, 0], Y),
    "logits: expected (B, L, *spatial) with one to three spatial dimensions, got shape (1, 1, 2, 19, 4, 6)": (
        Z[None, None], Y,
    ),
    "logits: expected at least 2 classes in dimension 1, got shape (2, 1, 4, 6)": (Z[:, :1], Y),
    "target: expected a torch.Tensor, got NoneType": (Z, None),
    "target: expected uint8, int16, int32 or int64 class indices, got float32; "
    "a map of whole numbers becomes indices by target.long()": (Z, Y.float()),
    "target: expected uint8, int16, int32 or int64 class indices, got bool; "
    "a map of whole numbers becomes indices by target.long()": (Z, Y.bool()),
    "target: expected class indices, got shape (2, 19, 4, 6), a channel for each class; "
    "a one-hot target becomes indices by target.argmax(1)": (Z, Z.long()),
    "target: expected class indices, got shape (2, 19, 8, 12), a channel for each class; "
    "a one-hot target becomes indices by target.argmax(1)": (Z, torch.zeros(2, 19, 8, 12)),
    "target: expected shape (2, H, W) or (2, 1, H, W) for logits of shape (2, 19, 4, 6), got (3, 4, 6): "
    "another batch size": (Z, torch.cat((Y, Y[:1]))),
    "target: expected shape (2, H, W) or (2, 1, H, W) for logits of shape (2, 19, 4, 6), got (2, 6, 4): "
    "is the target transposed?": (Z, Y.transpose(1, 2)),
    "target: expected shape (2, 4) or (2, 1, 4) for logits of shape (2, 19, 4), got (2, 8): "
    "only logits (B, L, h, w) are resized to their target's size": (Z[..., 0], torch.zeros(2, 8, dtype=torch.int64)),
    "target: expected shape (2, 4, 6, 1) or (2, 1, 4, 6, 1) for logits of shape (2, 19, 4, 6, 1), got (2, 8, 12, 1): "
    "only logits (B, L, h, w) are resized to their target's size": (
        Z[..., None], torch.zeros(2, 8, 12, 1, dtype=torch.int64),
    ),
    "target: expected shape (2, H, W) or (2, 1, H, W) for logits of shape (2, 19, 0, 6), got (2, 8, 12): "
    "there are no logits to resize": (Z[:, :, :0], torch.zeros(2, 8, 12, dtype=torch.int64)),
    "target: expected shape (2, H, W) or (2, 1, H, W) for logits of shape (2, 19, 4, 6), got (2, 24)": (
        Z, Y.flatten(1),
    ),
    "target: 1 labels are neither a class 0..18 nor ignore_index=255: -100 (1 pixels); "
    "to ignore these pixels pass ignore_index=-100": (
        Z, Y.clone().index_put_((torch.tensor(0),) * 3, torch.tensor(-100)),
    ),
    "target: 48 labels are neither a class 0..18 nor ignore_index=255: 19 (48 pixels); "
    "labels that count from 1 need target - 1; if 19 means unlabelled pass ignore_index=19": (Z, Y + 19),
    "target: 32 labels are neither a class 0..18 nor ignore_index=255: 20 (16 pixels), 33 (16 pixels); "
    "map the data set's ids to 0..18 first, or give the logits more channels": (
        Z, torch.tensor([0, 20, 33]).repeat(16).view(2, 4, 6).int(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", CALLS)
@pytest.mark.parametrize("path", PATHS)
def test_calls(message, path):
    arguments = [a.to(path[1]) if isinstance(a, torch.Tensor) else a for a in CALLS[message]]
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        pt.PATLoss(backend=path[0], validate=True)(*arguments)


def test_255_where_another_label_is_ignored():
    message = "labels are neither a class 0..18 nor ignore_index=-1: 255 (48 pixels); to ignore these pixels pass "
    with pytest.raises(ValueError, match=re.escape(message + "ignore_index=255")):
        pt.FocalLoss(ignore_index=-1)(Z, Y + 255)


def test_options_against_the_logits():
    with pytest.raises(ValueError, match=re.escape(
        "ignore_index: 3 is one of the 19 classes; choose a value that is none, such as -1"
    )):  # fmt: skip
        pt.FocalLoss(ignore_index=3)(Z, Y)
    for argument in ("weight", "class_counts"):
        with pytest.raises(ValueError, match=re.escape(
            f"{argument}: expected 19 numbers, one for each class of logits of shape (2, 19, 4, 6), got 3"
        )):  # fmt: skip
            pt.CrossEntropyLoss(**{argument: [1, 2, 3]})(Z, Y)


def test_one_pass_where_the_factor_of_each_pixel_comes_too_late():
    criterion = pt.FocalLoss(reduction="none", gradient="one_pass")
    with pytest.raises(ValueError, match=re.escape(
        "gradient: 'one_pass' with reduction='none' needs logits of their target's size, got (2, 19, 4, 6) for "
        "(2, 8, 12): the factor of each pixel comes too late; choose 'auto' or 'recompute'"
    )):  # fmt: skip
        criterion(Z, torch.zeros(2, 8, 12, dtype=torch.int64))


def test_two_variations():
    from pat_triton.adjustment import Variation

    with pytest.raises(ValueError, match=r"^adjustment: expected at most one variation, got two$"):
        pt.SegmentationLoss(adjustment=(Variation(), Variation()))(Z, Y)


def test_devices_must_match():
    with pytest.raises(ValueError, match=re.escape("target: expected on cpu like the logits, got meta")):
        pt.FocalLoss()(Z, Y.to("meta"))
    criterion = pt.CrossEntropyLoss(torch.ones(19)).to("meta")
    with pytest.raises(ValueError, match=re.escape(
        "weight: is on meta, the logits on cpu; move the loss with criterion.to(logits.device)"
    )):  # fmt: skip
        criterion(Z, Y)


def test_a_curve_without_a_twin():
    class Flat(Curve):
        name = "flat"

        def __call__(self, u, p, q):
            return -u, torch.full_like(u, -1.0)

    with pytest.raises(ValueError, match=re.escape(
        "curve: 'flat' has no Triton twin; give one with pat_triton.register(Flat, twin=...) or choose backend='torch'"
    )):  # fmt: skip
        pt.SegmentationLoss(Flat(), backend="triton")(Z.to(GPU), Y.to(GPU))


@pytest.mark.parametrize("label", [-100, 19, 2**40])
def test_an_unchecked_wrong_label_is_nan_and_nothing_else(label, monkeypatch):
    """As on a GPU, where a check would synchronise: never indexed, never skipped, its own column only."""
    logits, target = example((2, 19, 4, 6), torch.float32)
    target[1, 2, 3] = label
    monkeypatch.setattr("pat_triton.checks.CHECKED_DEVICES", ())
    z = logits.to(GPU).requires_grad_()
    value = Loss("PATLoss").ours(("triton", GPU))(z, target.to(GPU))
    value.backward()
    assert value.isnan()
    column = torch.zeros(2, 4, 6, dtype=torch.bool)
    column[1, 2, 3] = True
    assert torch.equal(z.grad.isnan().cpu(), column[:, None].expand_as(z))


def test_validation_by_the_environment(monkeypatch):
    monkeypatch.setattr("pat_triton.checks.CHECKED_DEVICES", ())
    criterion = Loss("PATLoss").ours(("triton", GPU))
    assert criterion(Z.to(GPU), Y.to(GPU) - 7).isnan()
    monkeypatch.setenv("PAT_TRITON_VALIDATE", "1")
    with pytest.raises(ValueError, match="48 labels are neither"):
        criterion(Z.to(GPU), Y.to(GPU) - 7)


def test_a_failed_call_changes_nothing():
    criterion = pt.BLVLoss(torch.arange(1, 20))
    state, rng = {k: v.clone() for k, v in criterion.state_dict().items()}, torch.get_rng_state()
    z, y = Z.clone(), Y + 40
    with pytest.raises(ValueError, match="neither"):
        criterion(z, y)
    assert torch.equal(z, Z)
    assert torch.equal(y, Y + 40)
    assert torch.equal(rng, torch.get_rng_state())
    assert all(torch.equal(v, criterion.state_dict()[k]) for k, v in state.items())


def test_counts_keep_their_digits_and_survive_half():
    counts = [2**53 + 1, 3]
    criterion = pt.LDAMLoss(counts).half().to(CPU)
    assert criterion.class_counts.dtype == torch.int64
    assert criterion.class_counts.tolist() == counts
    assert pt.LDAMLoss([1e6, 2.0]).class_counts.tolist() == [1000000, 2]
