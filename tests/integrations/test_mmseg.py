"""mmsegmentation's own heads train with the losses, from a configuration."""

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from libraries import needed
from torch import nn

import pat_triton

pytestmark = [  # theirs about theirs
    pytest.mark.filterwarnings("ignore::UserWarning:mm.*"),
    pytest.mark.filterwarnings("ignore:.*deprecated in `FFN:DeprecationWarning"),
]
SIZE = (32, 48)
CLASSES = 5


@pytest.fixture(scope="module", autouse=True)
def mmseg():
    needed("mmseg", "mmseg.models")
    from pat_triton.integrations import mmseg

    return mmseg


@pytest.fixture(autouse=True)
def poison():
    """The heads are not ours to poison."""


def built(type_, losses, **options):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    if "Segformer" in type_:
        options |= {"in_channels": [4, 8], "in_index": [0, 1], "norm_cfg": {"type": "BN"}}
    else:
        options |= {"in_channels": 4, "in_index": 0, "num_convs": 1}
    return MODELS.build({"type": type_, "channels": 8, "num_classes": CLASSES, "loss_decode": losses, **options})


def batch():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    g = torch.Generator().manual_seed(1)
    features = [torch.randn(2, 4, 8, 12, generator=g), torch.randn(2, 8, 4, 6, generator=g)]
    labels = torch.randint(0, CLASSES, (2, *SIZE), generator=g)
    labels[torch.rand(labels.shape, generator=g) < 0.1] = 255
    return features, labels, [SegDataSample(gt_sem_seg=PixelData(data=y[None])) for y in labels]


def lost(head):
    """(losses, the sum that mmengine trains on, the gradient of the last layer)."""
    from mmengine.model import BaseModel

    features, _, samples = batch()
    torch.manual_seed(2)  # dropout and noise
    losses = head.loss(features, samples, None)
    total, _ = BaseModel.parse_losses(None, losses)
    head.zero_grad()
    total.backward()
    return losses, total.detach(), head.conv_seg.weight.grad.clone()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("head", ["FCNHead", "SegformerHead"])
def test_a_fused_head_is_the_head(head, align_corners):
    """Cross-entropy of ours and of mmsegmentation, with and without the fused resize: one loss, gradient, accuracy."""
    theirs = {"type": "CrossEntropyLoss", "avg_non_ignore": True}
    expected = lost(built(head, theirs, align_corners=align_corners))
    for kind in (head, f"Fused{head}"):
        ours = lost(built(kind, {"type": "FusedCrossEntropyLoss"}, align_corners=align_corners))
        assert list(ours[0]) == ["loss_ce", "acc_seg"]
        for name in ours[0]:
            torch.testing.assert_close(ours[0][name].reshape(()), expected[0][name].reshape(()), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours[1], expected[1], rtol=1e-5, atol=0)
        torch.testing.assert_close(ours[2], expected[2], rtol=1e-4, atol=1e-6)


def test_every_loss_is_registered_and_summed(mmseg):
    for name in mmseg.LOSSES:
        losses, total, gradient = lost(built("FusedFCNHead", {"type": f"Fused{name}"}))
        (key,) = (key for key in losses if "loss" in key)
        assert key == mmseg.LOSSES[name]
        assert total == losses[key] > 0
        assert gradient.abs().sum() > 0


def test_several_losses_of_both_kinds():
    """One of mmsegmentation's on full-size logits, before ours or after, and two of one name, which are added."""
    parts = [
        {"type": "FusedPATLoss", "loss_weight": 0.5},
        {"type": "DiceLoss"},
        {"type": "FusedFocalLoss", "loss_name": "loss_pat", "gamma": 1.0},
    ]
    together = lost(built("FusedFCNHead", parts))[0]
    alone = [lost(built("FCNHead", part))[0] for part in parts]
    assert list(together) == ["loss_pat", "loss_dice", "acc_seg"]
    torch.testing.assert_close(
        lost(built("FusedFCNHead", parts[1::-1]))[1], alone[0]["loss_pat"] + alone[1]["loss_dice"]
    )
    torch.testing.assert_close(together["loss_pat"], alone[0]["loss_pat"] + alone[2]["loss_pat"], rtol=1e-5, atol=0)
    torch.testing.assert_close(together["loss_dice"], alone[1]["loss_dice"])


@pytest.mark.parametrize("options", [{"sampler": {"type": "OHEMPixelSampler", "thresh": 0.2, "min_kept": 10}}, {}])
def test_what_needs_full_size_has_it(options):
    """A sampler, whose choice arrives as a factor of each pixel; and a head without a loss of ours."""
    loss = {"type": "FusedCrossEntropyLoss"} if options else {"type": "CrossEntropyLoss", "avg_non_ignore": True}
    fused, plain = (lost(built(kind, loss, **options)) for kind in ("FusedFCNHead", "FCNHead"))
    torch.testing.assert_close(fused[1], plain[1])
    if options:
        assert fused[1] != lost(built("FCNHead", loss))[1]


def test_the_sampler_chooses_as_for_mmsegmentations_own():
    sampler = {"type": "OHEMPixelSampler", "thresh": 0.2, "min_kept": 10}
    theirs = lost(built("FCNHead", {"type": "CrossEntropyLoss", "avg_non_ignore": True}, sampler=sampler))
    ours = lost(built("FCNHead", {"type": "FusedCrossEntropyLoss"}, sampler=sampler))
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-5, atol=0)


def example():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, CLASSES, 6, 8, generator=g)
    return logits, torch.randint(0, CLASSES, (2, 6, 8), generator=g), torch.rand(2, 6, 8, generator=g)


def test_the_call_of_mmsegmentation(mmseg):
    logits, labels, weight = example()
    loss = mmseg.FusedPATLoss(temperature=5.0)
    criterion = pat_triton.PATLoss(temperature=5.0)
    terms = pat_triton.PATLoss(temperature=5.0, reduction="none")(logits, labels)
    torch.testing.assert_close(loss(logits, labels), criterion(logits, labels))
    torch.testing.assert_close(loss(logits, labels, weight), criterion(logits, labels, pixel_weight=weight))
    torch.testing.assert_close(loss(logits, labels, reduction_override="none"), terms)
    torch.testing.assert_close(loss(logits, labels, reduction_override="sum"), terms.sum())
    torch.testing.assert_close(loss(logits, labels, weight, avg_factor=7.0), (weight * terms).sum() / 7)
    torch.testing.assert_close(loss(logits, labels, avg_factor=7.0, reduction_override="none"), terms)
    torch.testing.assert_close(loss(logits, labels), criterion(logits, labels))  # nothing of that stays
    ignored = labels.clone()
    ignored[:, :2] = -1
    torch.testing.assert_close(
        loss(logits, ignored, ignore_index=-1), criterion(logits, ignored.masked_fill(ignored == -1, 255))
    )
    with pytest.raises(ValueError, match="avg_factor: got one for reduction='sum'"):
        loss(logits, labels, avg_factor=7.0, reduction_override="sum")


def test_class_weights_come_as_mmsegmentation_has_them(mmseg, tmp_path):
    logits, labels, _ = example()
    weight = [1.0, 2.0, 0.5, 3.0, 1.5]
    (tmp_path / "weights.json").write_text(str(weight))
    expected = F.cross_entropy(logits, labels, torch.tensor(weight))
    for given in (weight, str(tmp_path / "weights.json")):
        loss = mmseg.FusedCrossEntropyLoss(class_weight=given)
        torch.testing.assert_close(loss(logits, labels), expected)


def test_a_name_that_mmengine_would_not_add_up(mmseg):
    with pytest.raises(
        ValueError, match="loss_name: expected a name with 'loss' in it, which mmengine adds up, got 'pat'"
    ):
        mmseg.FusedPATLoss(loss_name="pat")


def test_losses_and_heads_are_copied_and_pickled(mmseg):
    logits, labels, _ = example()
    loss = mmseg.FusedBLVLoss(class_counts=[5, 4, 3, 2, 1])
    for again in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.manual_seed(0)
        expected = loss(logits, labels)
        torch.manual_seed(0)
        assert again(logits, labels) == expected
    assert type(pickle.loads(pickle.dumps(built("FusedFCNHead", {"type": "FusedPATLoss"})))).__name__ == "FusedFCNHead"


WEIGHT = [1.0, 2.0, 0.5, 3.0, 1.5]


def partly_ignored(label=255):
    logits, labels, _ = example()
    labels[:, :2] = label  # a third
    return logits, labels


def test_what_mmsegmentations_own_losses_take(mmseg):
    """Their keywords in the configuration of one of ours, where they mean the same."""
    from mmseg.registry import MODELS

    logits, labels = partly_ignored()
    theirs = {"use_sigmoid": False, "use_mask": False, "loss_weight": 0.4, "loss_name": "loss_ce", "reduction": "mean"}
    for name in mmseg.LOSSES:
        loss = MODELS.build({"type": f"Fused{name}", "avg_non_ignore": True, "class_weight": WEIGHT, **theirs})
        assert loss.loss_name == "loss_ce"
        torch.manual_seed(0)
        expected = 0.4 * getattr(pat_triton, name)(weight=WEIGHT)(logits, labels)
        torch.manual_seed(0)
        torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", [False, True, None])
def test_the_mean_is_mmsegmentations(mmseg, average, weighted):
    """Of cross-entropy, with a loss and a gradient of theirs. Without ``avg_non_ignore`` ours is as with True. Class
    weights are asked for those of ignored pixels, which have none: there theirs needs a batch without them."""
    from mmseg.registry import MODELS

    logits, labels = example()[:2] if weighted else partly_ignored()
    options = {"class_weight": WEIGHT} if weighted else {}
    theirs = MODELS.build({"type": "CrossEntropyLoss", "avg_non_ignore": average is not False, **options})
    ours = mmseg.FusedCrossEntropyLoss(avg_non_ignore=average, **options)
    found = []
    for loss in (ours, theirs):
        z = logits.clone().requires_grad_()
        value = loss(z, labels, ignore_index=255)
        found.append((value.detach(), *torch.autograd.grad(value, z)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_an_ignored_pixel_has_no_class_weight(mmseg):
    """So that a mean by class weights is the same both ways; mmsegmentation's own raises."""
    from mmseg.registry import MODELS

    logits, labels = partly_ignored()
    expected = F.cross_entropy(logits, labels, torch.tensor(WEIGHT), ignore_index=255)
    for average in (False, True):
        loss = mmseg.FusedCrossEntropyLoss(avg_non_ignore=average, class_weight=WEIGHT)
        torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected)
        theirs = MODELS.build({"type": "CrossEntropyLoss", "avg_non_ignore": average, "class_weight": WEIGHT})
        with pytest.raises(IndexError):
            theirs(logits, labels, ignore_index=255)


@pytest.mark.parametrize("average", [False, True])
def test_an_ignored_class_has_its_weight(mmseg, average):
    """Among those that a mean divides by, in mmsegmentation too, with False; several ignored labels have none."""
    from mmseg.registry import MODELS

    logits, labels = partly_ignored(0)
    options = {"avg_non_ignore": average, "class_weight": WEIGHT}
    theirs = MODELS.build({"type": "CrossEntropyLoss", **options})(logits, labels, ignore_index=0)
    torch.testing.assert_close(mmseg.FusedCrossEntropyLoss(**options)(logits, labels, ignore_index=0), theirs)
    several = mmseg.FusedCrossEntropyLoss(ignore_index=(0, 255), **options)(logits, labels, ignore_index=255)
    torch.testing.assert_close(several, F.cross_entropy(logits, labels, torch.tensor(WEIGHT), ignore_index=0))


def test_a_mean_by_all_pixels(mmseg):
    """Of every loss whose mean divides by labelled pixels; a third of the pixels is ignored. Class weights are not in
    the divisor of any but cross-entropy. Only a mean divides, and only without ``avg_factor``."""
    logits, labels = partly_ignored()
    for name in set(mmseg.LOSSES) - {"PATLoss", "CrossEntropyLoss"}:
        made = getattr(mmseg, f"Fused{name}")
        every, labelled = (made(avg_non_ignore=average, class_weight=WEIGHT) for average in (False, True))
        for given, ratio in (({}, 2 / 3), ({"reduction_override": "sum"}, 1), ({"avg_factor": 7.0}, 1)):
            found = []
            for loss in (every, labelled):
                torch.manual_seed(0)
                found.append(loss(logits, labels, ignore_index=255, **given))
            torch.testing.assert_close(found[0], ratio * found[1])
        again = pickle.loads(pickle.dumps(copy.deepcopy(every))).eval()
        assert again(logits, labels) == every.eval()(logits, labels)
    statistics = mmseg.FusedFocalLoss(avg_non_ignore=False).with_statistics(logits, labels, 255, False)
    torch.testing.assert_close(statistics[1].loss.sum(), statistics[0])


def test_a_divisor_of_nothing(mmseg):
    """mmsegmentation adds a little to it, so that a batch of ignored pixels has no loss."""
    logits, labels = partly_ignored()
    labels[:] = 255
    assert mmseg.FusedCrossEntropyLoss()(logits, labels, avg_factor=0.0) == 0
    assert mmseg.FusedCrossEntropyLoss(avg_non_ignore=False)(logits, labels) == 0


INHERITED = r"If it is of the base configuration's loss, "


@pytest.mark.parametrize(
    ("type_", "options", "error", "message"),
    [
        ("FusedPATLoss", {"use_sigmoid": True}, ValueError, "use_sigmoid: FusedPATLoss got True, .* a softmax loss"),
        ("FusedFocalLoss", {"use_sigmoid": True}, ValueError, f"{INHERITED}write use_sigmoid=False, or dict._delete_"),
        ("FusedPATLoss", {"use_mask": True}, ValueError, "use_mask: FusedPATLoss got True, .* a softmax loss"),
        ("FusedPATLoss", {"use_sigmoid": "no"}, TypeError, "use_sigmoid: expected True or False, got 'no'"),
        ("FusedPATLoss", {"avg_non_ignore": False}, ValueError, "FusedPATLoss got False.* mean divides by the images"),
        ("FusedPATLoss", {"avg_non_ignore": 1}, TypeError, "avg_non_ignore: expected True or False, got 1"),
        (
            "FusedPATLoss",
            {"variant": "release", "avg_non_ignore": True},
            ValueError,
            "FusedPATLoss got True, expected False or nothing: .* divides by all elements",
        ),
        (
            "FusedPATLoss",
            {"temprature": 20.0},
            TypeError,
            r"FusedPATLoss: got unexpected keywords, 'temprature' \(did you mean 'temperature'\?\). "
            "It takes temperature, .*loss_weight, .*loss_name, class_weight, avg_non_ignore",
        ),
        (
            "FusedLDAMLoss",
            {"thres": 0.9, "min_kept": 10},
            TypeError,
            f"FusedLDAMLoss: .*'thres', 'min_kept'. It takes class_counts, max_margin, .*{INHERITED}dict._delete_",
        ),
        ("FusedPATLoss", {"class_weight": WEIGHT, "weight": WEIGHT}, ValueError, "class_weight: got it and weight"),
        ("FusedPATLoss", {"loss_name": None, "class_weight": [1, -1]}, ValueError, "weight"),
    ],
)
def test_what_means_something_else_is_refused(type_, options, error, message):
    from mmseg.registry import MODELS

    with pytest.raises(error, match=message):
        MODELS.build({"type": type_, **options})


def test_release_divides_by_all_elements_as_asked(mmseg):
    logits, labels = partly_ignored()
    loss = mmseg.FusedPATLoss(variant="release", avg_non_ignore=False)
    assert loss(logits, labels) == pat_triton.PATLoss(variant="release")(logits, labels)


@pytest.mark.parametrize("align_corners", [False, True])  # the criterion's own, and not
@pytest.mark.parametrize("head", ["FCNHead", "FusedFCNHead"])
def test_a_loss_follows_its_heads_mode(head, align_corners):
    """BLV's noise is for training; the mode changes after calls in the other one."""
    options = {"dropout_ratio": 0, "align_corners": align_corners}
    head = built(head, {"type": "FusedBLVLoss"}, **options)
    plain = built("FCNHead", {"type": "FusedCrossEntropyLoss"}, **options)
    model, loss = nn.Sequential(head), head.loss_decode
    logits, labels, _ = example()
    for training in (True, False, True, False):
        model.train(training)
        assert loss.training == loss.criterion.training == training
        for one, other in (
            (lost(head)[1], lost(plain)[1]),
            (loss(logits, labels, reduction_override="sum"), F.cross_entropy(logits, labels, reduction="sum")),
        ):
            assert torch.allclose(one, other, rtol=1e-5) != training


def test_no_call_writes_to_the_criterion(mmseg):
    logits, labels = partly_ignored(-1)
    loss = mmseg.FusedCrossEntropyLoss()
    derived = {"others"}  # what ``but`` remembers
    before = {name: value for name, value in vars(loss.criterion).items() if name not in derived}
    loss(logits, labels, ignore_index=-1, reduction_override="none")
    loss(logits, labels, ignore_index=-1, avg_factor=3.0)
    loss.with_statistics(logits, labels, -1, True)
    assert before == {name: value for name, value in vars(loss.criterion).items() if name not in derived}
    loss.criterion.reduction = "sum"  # an option assigned between steps is the next call's
    expected = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    torch.testing.assert_close(loss(logits, labels, ignore_index=-1), expected)


@pytest.mark.parametrize(("own", "heads", "counts"), [(-1, 255, -1), (255, -1, -1), (-1, -2, -1), (255, None, 255)])
def test_whose_ignore_index(mmseg, own, heads, counts):
    """The criterion's, unless it is the default of 255: nobody need have said the head's 255."""
    logits, labels = partly_ignored(counts)
    expected = F.cross_entropy(logits, labels, ignore_index=counts)
    loss = mmseg.FusedCrossEntropyLoss(ignore_index=own)
    torch.testing.assert_close(loss(logits, labels, ignore_index=heads), expected)
    torch.testing.assert_close(loss.with_statistics(logits, labels, heads, False)[0], expected)


# Configurations that mmsegmentation ships, of which a child's loss_decode says another loss and nothing else.
SHIPPED = {
    "segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py": "SegformerHead",
    "deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py": "DepthwiseSeparableASPPHead",
    "upernet/upernet_r50_4xb4-80k_ade20k-512x512.py": "UPerHead",
    "fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py": "FCNHead",
}


def configurations():
    import mmseg

    return Path(mmseg.__file__).parent / ".mim" / "configs"


def child(folder, base, type_="FusedPATLoss"):
    """The configuration of a file of one line that trains with another loss."""
    from mmengine import Config

    (folder / "child.py").write_text(
        f"_base_ = [{str(base)!r}]\n"
        'custom_imports = dict(imports=["pat_triton.integrations.mmseg"])\n'
        f'model = dict(decode_head=dict(loss_decode=dict(type="{type_}")))\n'
    )
    return Config.fromfile(folder / "child.py", import_custom_modules=False)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_configuration_with_one_line_changed(name, tmp_path):
    """Its decode head, as large as it is shipped, on small features."""
    from mmengine.model import revert_sync_batchnorm
    from mmseg.registry import MODELS

    config = child(tmp_path, configurations() / name).model.decode_head
    assert config.type == SHIPPED[name] and config.loss_decode.use_sigmoid is False
    g = torch.Generator().manual_seed(0)
    channels = config.in_channels if config.type == "SegformerHead" else [256, 512, 1024, 2048]
    features = [torch.randn(2, c, 16 >> i, 24 >> i, generator=g) for i, c in enumerate(channels)]
    labels = torch.randint(0, config.num_classes, (2, 32, 48), generator=g)
    labels[:, :4] = 255
    head = revert_sync_batchnorm(MODELS.build(config))
    torch.manual_seed(1)
    losses = head.loss(features, samples(labels), None)
    torch.manual_seed(1)
    with torch.no_grad():
        expected = pat_triton.PATLoss(align_corners=head.align_corners)(head(features), labels)
    torch.testing.assert_close(losses["loss_pat"].detach(), expected, rtol=1e-5, atol=0)
    losses["loss_pat"].backward()
    assert head.conv_seg.weight.grad.abs().sum() > 0


# Of the models that others build on, those with which a line is not enough, and the error that says so.
LISTS = "is of type <class 'list'> in base config. You may set `_delete_=True`"  # mmengine's
NOT_ONE_LINE = {
    "fast_scnn": "use_sigmoid: FusedPATLoss got True",  # a loss of another kind
    "ocrnet_hr18": LISTS,  # of heads
    "ocrnet_r50-d8": LISTS,
    "pointrend_r50": LISTS,
    "san_vit-b16": LISTS,  # of losses, for masks and their classes
    "vpd_sd": "has no decode head",
}


def test_every_base_model_takes_a_line(tmp_path):
    from mmseg.registry import MODELS

    bases = {path.stem: path for path in (configurations() / "_base_" / "models").glob("*.py")}
    assert len(bases) >= 50 and set(NOT_ONE_LINE) < set(bases)
    for name in set(bases) - set(NOT_ONE_LINE):
        config = child(tmp_path, bases[name]).model.decode_head.loss_decode
        loss = MODELS.build(config)
        assert type(loss.criterion) is pat_triton.PATLoss
        assert loss.criterion.loss_weight == config.loss_weight and "use_sigmoid" in config


@pytest.mark.parametrize("name", sorted(set(NOT_ONE_LINE) - {"vpd_sd"}))
def test_a_base_model_that_takes_more_says_so(name, tmp_path):
    from mmseg.registry import MODELS

    with pytest.raises((TypeError, ValueError), match=NOT_ONE_LINE[name]):
        MODELS.build(
            child(tmp_path, configurations() / "_base_" / "models" / f"{name}.py").model.decode_head.loss_decode
        )


OURS = {"type": "FusedPATLoss"}
ONE = {"in_channels": 4, "in_index": 0}
TWO = {"in_channels": [4, 8], "in_index": [0, 1]}
NORM = {"norm_cfg": {"type": "BN"}}
ATTENTION = {"type": "KernelUpdator", "in_channels": 8, "feat_channels": 8, "out_channels": 8}
UPDATES = {
    "type": "KernelUpdateHead", "num_classes": CLASSES, "num_heads": 2, "feedforward_channels": 8, "in_channels": 8,
    "out_channels": 8, "kernel_updator_cfg": ATTENTION,
}  # fmt: skip
# Those of mmsegmentation whose loss is that of its base head; each is run with and without "Fused" before its name.
HEADS = {
    "ANNHead": TWO | {"project_channels": 4},
    "APCHead": ONE,
    "ASPPHead": ONE,
    "CCHead": ONE,
    "DMHead": ONE | {"filter_sizes": (1, 3)},
    "DNLHead": ONE,
    "DPTHead": {
        "in_channels": [8] * 4, "in_index": [0, 1, 2, 3], "input_transform": "multiple_select", "embed_dims": 8,
        "post_process_channels": [8] * 4,
    },
    "DepthwiseSeparableASPPHead": ONE | {"c1_in_channels": 4, "c1_channels": 4},
    "DepthwiseSeparableFCNHead": ONE,
    "EMAHead": ONE | {"ema_channels": 8, "num_bases": 4, "num_stages": 2},
    "FCNHead": ONE,
    "FPNHead": TWO | {"feature_strides": [4, 8]},
    "GCHead": ONE,
    "ISAHead": ONE | {"isa_channels": 4, "down_factor": (2, 2)},
    "LRASPPHead": {
        "in_channels": [4] * 3, "in_index": [0, 1, 2], "input_transform": "multiple_select", "branch_channels": (4, 4)
    },
    "LightHamHead": TWO | {"ham_channels": 8, "ham_kwargs": {"MD_R": 4}},
    "NLHead": ONE,
    "OCRHead": ONE | {"ocr_channels": 4},
    "PSAHead": ONE | {"mask_size": (4, 6)},
    "PSPHead": ONE,
    "SETRMLAHead": {"in_channels": [4, 4], "in_index": [0, 0], "mla_channels": 4},
    "SETRUPHead": ONE,
    "SegformerHead": TWO | NORM,
    "SegmenterMaskTransformerHead": ONE | {"num_layers": 1, "num_heads": 2, "embed_dims": 8},
    "UPerHead": TWO,
}  # fmt: skip
# Those with a loss of their own, which calls that of the configuration.
OWN = {
    "DAHead": ONE | {"pam_channels": 4},
    "DDRHead": {"in_channels": 8, "loss_decode": [OURS, OURS]},
    "EncHead": TWO | {"num_codes": 4},
    "IterativeDecodeHead": {"num_stages": 1, "kernel_update_head": [UPDATES]},
    "PIDHead": {"in_channels": 8, "loss_decode": [OURS, OURS, {"type": "BoundaryLoss"}, OURS]},
    "PointHead": TWO,
    "STDCHead": ONE | {"num_classes": 2},
}
PARTS = {"KernelUpdateHead": "IterativeDecodeHead", "KernelUpdator": "IterativeDecodeHead"}
NOT_RUN = {
    "Mask2FormerHead": "is one of mmdet's, which is not installed; its losses are of queries and masks",
    "MaskFormerHead": "is one of mmdet's, which is not installed; its losses are of queries and masks",
    "SideAdapterCLIPHead": "its losses are of masks and their classes, which mmdet matches",
    "VPDDepthHead": "predicts depth, not classes",
}


def test_every_registered_head_is_run_or_listed():
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead
    from mmseg.registry import MODELS

    home = "mmseg.models.decode_heads"
    registered = {name: made for name, made in MODELS.module_dict.items() if made.__module__.startswith(home)}
    tables = [HEADS, OWN, PARTS, NOT_RUN]
    assert sorted(name for table in tables for name in table) == sorted(registered)
    base = {name for name in registered if issubclass(registered[name], BaseDecodeHead)}
    shared = {name for name in base if registered[name].loss_by_feat is BaseDecodeHead.loss_by_feat}
    assert set(HEADS) == shared == {name for name in registered if f"Fused{name}" in MODELS.module_dict}


class CrissCrossAttention(nn.Module):
    """Of mmcv's operators the call: attention of some kind, of the size of its input."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.mix(x)


class PSAMask(nn.Module):
    """Of mmcv's operators the call: a pixel's mask over the pixels that it sees, made one over all pixels."""

    def __init__(self, psa_type, mask_size):
        super().__init__()

    def forward(self, x):
        n, _, h, w = x.shape
        return F.adaptive_avg_pool1d(x.flatten(2).transpose(1, 2), h * w).transpose(1, 2).reshape(n, h * w, h, w)


def point_sample(x, points, align_corners=False, **options):
    """mmcv's, which is not compiled, but lies among the operators."""
    return F.grid_sample(x, 2 * points[:, None] - 1, align_corners=align_corners, **options)[:, :, 0]


@pytest.fixture
def operators(monkeypatch):
    heads = "mmseg.models.decode_heads"
    monkeypatch.setattr(f"{heads}.cc_head.CrissCrossAttention", CrissCrossAttention)
    monkeypatch.setattr(f"{heads}.psa_head.PSAMask", PSAMask)
    for module in (f"{heads}.point_head", "mmseg.models.utils.point_sample"):
        monkeypatch.setattr(f"{module}.point_sample", point_sample, raising=False)


def samples(labels):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    edges = [PixelData(data=(y[None] == 1).float()) for y in labels]  # PIDHead's
    return [
        SegDataSample(gt_sem_seg=PixelData(data=y[None]), gt_edge_map=edge)
        for y, edge in zip(labels, edges, strict=True)
    ]


def features_of(kind):
    """What the backbones of these heads give them."""
    g = torch.Generator().manual_seed(1)
    levels = [torch.randn(2, 4, 8, 12, generator=g), torch.randn(2, 8, 4, 6, generator=g)]
    if kind == "LRASPPHead":
        return [torch.randn(2, 4, 49, 49, generator=g)] * 3  # it pools windows of 49
    if kind == "DPTHead":
        return [(levels[1], torch.randn(2, 8, generator=g))] * 4
    return [*levels, levels[0]] if kind == "PIDHead" else levels


def ran(type_, losses):
    """(losses, gradients) of a head with one of our losses, on a batch."""
    from mmengine import ConfigDict
    from mmengine.model import BaseModel
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    kind = type_.removeprefix("Fused")
    torch.manual_seed(0)
    options = {"type": type_, "channels": 8, "num_classes": CLASSES, "loss_decode": losses, **(HEADS | OWN)[kind]}
    if kind == "IterativeDecodeHead":
        made = {"type": "FCNHead", "channels": 8, "num_classes": CLASSES, "loss_decode": losses, **ONE}
        options = {"type": type_, **OWN[kind], "kernel_generate_head": made}
    with DefaultScope.overwrite_default_scope("mmseg"):  # as a configuration's default_scope
        head = MODELS.build(options)
    _, labels, _ = batch()
    given = [features_of(kind), samples(labels), None]
    if kind in ("OCRHead", "PointHead"):
        given.insert(1, torch.randn(2, CLASSES, 8, 12))
        given[-1] = ConfigDict(num_points=32, oversample_ratio=3, importance_sample_ratio=0.75)
    found = head.loss(*given)
    total, _ = BaseModel.parse_losses(None, found)
    total.backward()
    gradients = {name: p.grad for name, p in head.named_parameters() if p.grad is not None}
    return SimpleNamespace(losses=found, total=total.detach(), gradients=gradients)


@pytest.mark.parametrize("kind", HEADS)
def test_a_registered_head_and_its_fused_one_train(kind, operators):
    plain, fused = ran(kind, OURS), ran(f"Fused{kind}", OURS)
    assert list(plain.losses) == list(fused.losses) == ["loss_pat", "acc_seg"]
    assert plain.total > 0 and any(gradient.any() for gradient in plain.gradients.values())
    for name in plain.losses:
        torch.testing.assert_close(fused.losses[name].reshape(()), plain.losses[name].reshape(()), rtol=1e-5, atol=1e-6)
    assert list(fused.gradients) == list(plain.gradients)
    for name, gradient in plain.gradients.items():
        torch.testing.assert_close(fused.gradients[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", OWN)
def test_a_head_with_a_loss_of_its_own_trains(kind, operators):
    found = ran(kind, OURS)
    # Of PIDHead's, one is of boundaries, and one of the pixels where it is sure of a boundary: nowhere as yet.
    theirs = ("loss_se", "loss_bd", "loss_sem_bd")
    ours = [name for name in found.losses if "loss" in name and name not in theirs]
    assert len(ours) == {"DAHead": 3, "DDRHead": 2, "IterativeDecodeHead": 2, "PIDHead": 2}.get(kind, 1)
    assert all(torch.isfinite(found.losses[name]) and found.losses[name] > 0 for name in ours)
    assert any(gradient.any() for gradient in found.gradients.values())
