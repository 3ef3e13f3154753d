"""A factor of each pixel's term, on both paths and for resized logits: read with the label, in the same pass."""

import pytest
import torch
from cases import (
    BLV,
    EACH,
    EXACT,
    GPU,
    PAT,
    PATHS,
    PLANS,
    RESIZES,
    SAME_DTYPE,
    SHAPE,
    SHAPES,
    Loss,
    assert_close,
    distance,
    enlarged,
    example,
    expected,
    ignore,
    run,
    tolerance,
)  # fmt: skip

import pat_triton
from pat_triton.backends.triton.launch import Launch


def factors(target, seed=5):
    """Of either sign, and some 0."""
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(target.shape, generator=g, dtype=torch.float64)
    w[torch.rand(target.shape, generator=g) < 0.2] = 0
    return w


def assert_exact(loss, path, logits, target, weight, gradient="auto", **options):
    upstream = torch.randn(target.shape if options.get("reduction") == "none" else ()).double()
    ours = run(loss, path, logits, target, upstream=upstream, pixel_weight=weight, gradient=gradient, **options)
    truth = expected(loss, logits, target, upstream=upstream, pixel_weight=weight, on=path[1], **options)
    for what, mine, its in zip(("loss", "gradient"), ours, truth, strict=True):
        assert_close(what, mine, its, tolerance(loss, path))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("reduction", "gradient"), [("mean", "one_pass"), ("sum", "recompute"), ("none", "recompute")])
@pytest.mark.parametrize("loss", EACH)
def test_a_pixel_weight_of_dense_logits(loss, reduction, gradient, path):
    logits, target = example(SHAPE)
    assert_exact(loss, path, logits, target, factors(target), reduction=reduction, gradient=gradient)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_of_a_pixel_weight(shape, path):
    logits, target = example(shape)
    assert_exact(PAT, path, logits, target, factors(target), ignore_index=ignore(shape))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("classes", [7, 40])  # a whole column in a program, and the softmax kept for blocks of classes
@pytest.mark.parametrize("resize", RESIZES, ids=str)
def test_a_pixel_weight_of_resized_logits(resize, classes, path):
    (h, w), size = resize
    logits, target = enlarged((2, classes, h, w), size)
    assert_exact(BLV if (resize, classes) == (RESIZES[0], 7) else PAT, path, logits, target, factors(target))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", SAME_DTYPE, ids=str)
def test_weighted_no_worse_than_torch_at_the_same_dtype(dtype, path):
    logits, target = example(SHAPE, dtype)
    weight = factors(target).to(dtype)
    truth = expected(PAT, logits.double(), target, pixel_weight=weight.double())
    torch_too = expected(PAT, logits, target, pixel_weight=weight)
    ours = run(PAT, path, logits, target, pixel_weight=weight)
    for mine, theirs, true in zip(ours, torch_too, truth, strict=True):
        assert distance(mine, true) <= distance(theirs, true) + SAME_DTYPE[dtype]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [SHAPE[2:], (18, 26)], ids=str)
def test_layouts_and_dtypes(size, path):
    """(B, 1, H, W), expanded, transposed, a crop, sixteen bits: the same numbers."""
    logits, target = example(SHAPE)[0], example((*SHAPE[:2], *size))[1]
    weight = factors(target).bfloat16()
    layouts = {
        "channel": weight[:, None],
        "float64": weight.double(),
        "transposed": weight.mT.contiguous().mT,
        "crop": torch.nn.functional.pad(weight, (1, 2))[..., 1:-2],
    }
    truth = run(PAT, path, logits, target, pixel_weight=weight)
    for name, layout in layouts.items():
        for mine, its in zip(run(PAT, path, logits, target, pixel_weight=layout), truth, strict=True):
            assert torch.equal(mine, its), name
    one = torch.tensor(0.5, device=path[1]).expand(target.shape)
    assert one.stride() == (0, 0, 0)
    for mine, its in zip(
        run(PAT, path, logits, target, pixel_weight=one), run(PAT, path, logits, target, loss_weight=0.5), strict=True
    ):
        assert_close("a constant", mine, its, EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [SHAPE[2:], (18, 26)], ids=str)
def test_an_ignored_pixels_weight_is_never_used(size, path):
    logits, target = example(SHAPE)[0], example((*SHAPE[:2], *size))[1]
    weight = factors(target)
    dirty = weight.masked_fill(target == 255, torch.nan)
    for mine, its in zip(
        run(PAT, path, logits, target, pixel_weight=dirty), run(PAT, path, logits, target, pixel_weight=weight),
        strict=True,
    ):  # fmt: skip
        assert_close("ignored", mine, its, EXACT)


@pytest.mark.parametrize("path", PATHS)
def test_a_mean_divides_by_the_labelled_pixels_all_the_same(path):
    """mmsegmentation's sampler chooses pixels by weights of 0 and 1; torch's class weights would be divided by."""
    logits, target = example(SHAPE)
    chosen = (torch.arange(target.numel()).view_as(target) % 3 == 0).double()
    value, _ = run(Loss("CrossEntropyLoss"), path, logits, target, pixel_weight=chosen)
    terms = torch.nn.functional.cross_entropy(logits, target, ignore_index=255, reduction="none")
    assert_close("mean", value, (terms * chosen).sum() / (target != 255).sum(), EXACT)


@pytest.mark.parametrize("path", PATHS)
def test_statistics_and_several_heads(path):
    """The class's losses carry the weights, the counts do not; every head has the same."""
    logits, target = (part.to(path[1]) for part in enlarged((2, 5, 4, 6), (8, 12)))
    heads = [logits, logits[..., ::2, ::2]]
    weight = factors(target.cpu()).to(path[1])
    criterion = PAT.ours(path)
    loss, stats = criterion(heads, target, return_stats=True, pixel_weight=weight)
    alone = [criterion(head, target, pixel_weight=weight) for head in heads]
    assert_close("heads", loss.cpu(), sum(alone).cpu(), EXACT)
    assert_close("by class", stats.loss.sum().cpu(), loss.cpu(), 1e-9)
    _, plain = criterion(heads, target, return_stats=True)
    assert all(torch.equal(a, b) for a, b in zip(stats[1:], plain[1:], strict=True))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
def test_gradcheck_with_a_pixel_weight(gradient, path):
    logits, target = (part.to(path[1]) for part in example((1, 3, 4, 5)))
    weight = factors(target.cpu()).to(path[1])
    criterion = PAT.ours(path, gradient=gradient)
    assert torch.autograd.gradcheck(lambda z: criterion(z, target, pixel_weight=weight), logits.requires_grad_())


@pytest.mark.parametrize("size", [SHAPE[2:], (18, 26)], ids=str)
def test_no_further_pass(size, monkeypatch):
    """The same kernels are launched with as without."""
    started, start = [], Launch.__call__
    monkeypatch.setattr(Launch, "__call__", lambda self, *a: started.append(self.kernel) or start(self, *a))
    logits, target = example(SHAPE)[0], example((*SHAPE[:2], *size))[1]
    run(PAT, ("triton", GPU), logits, target)
    without = started.copy()
    started.clear()
    run(PAT, ("triton", GPU), logits, target, pixel_weight=factors(target))
    assert started == without != []


@pytest.mark.parametrize("path", PATHS)
def test_a_weight_that_changes_before_backward_is_seen(path):
    logits, target = (part.to(path[1]) for part in example(SHAPE))
    weight = factors(target.cpu()).to(path[1])
    loss = PAT.ours(path, gradient="recompute")(logits.requires_grad_(), target, pixel_weight=weight)
    weight.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_compiled_with_a_pixel_weight():
    logits, target = example(SHAPE)
    weight = factors(target)
    criterion = pat_triton.PATLoss()

    def step(z, w):
        return criterion(z, target, pixel_weight=w)

    results = []
    for call in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
        z = logits.clone().requires_grad_()
        value = call(z, weight)
        value.backward()
        results.append((value.detach(), z.grad))
    for mine, its in zip(*results, strict=True):
        assert_close("compiled", mine, its, EXACT)
