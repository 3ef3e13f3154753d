"""Any strides, spatial rank and label dtype, without a copy."""

import pytest
import torch
from cases import CPU, EXACT, GPU, PAT, PATHS, SHAPE, Loss, assert_close, example, expected, run

LAYOUTS = {
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "crop": lambda t: torch.nn.functional.pad(t, (3, 2, 1, 4))[..., 1:-4, 3:-2],
    "transposed": lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
    "every_other": lambda t: t.repeat_interleave(2, 3)[..., ::2],
    "images_inside": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0),
    "one_image_twice": lambda t: t[:1].expand(2, -1, -1, -1),
    "flipped_classes": lambda t: t.flip(1).flip(1),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("loss", [PAT, Loss("BLVLoss")], ids=["pat", "blv"])
def test_layouts(loss, layout, path):
    logits, target = example(SHAPE)
    logits = layout(logits)
    value, grad = run(loss, path, logits, target)
    dense, slope = run(loss, path, logits.contiguous(), target)
    assert_close("loss", value, dense, EXACT)
    assert_close("gradient", grad, slope, EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("plan", ["one_pass", "recompute"])
def test_the_gradient_keeps_dense_strides(plan, path):
    for fmt in (torch.contiguous_format, torch.channels_last):
        logits, target = example(SHAPE, torch.float32)
        z = logits.to(path[1], memory_format=fmt).requires_grad_()
        value = PAT.ours(path, gradient=plan)(z, target.to(path[1]))
        (grad,) = torch.autograd.grad(value, z)
        assert grad.is_contiguous(memory_format=fmt)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_label_dtypes(dtype, path):
    """Also with an ignore_index that the dtype cannot hold."""
    logits, target = example(SHAPE)
    truth, slope = expected(PAT, logits, target)
    value, grad = run(PAT, path, logits, target.to(dtype))
    assert_close("loss", value, truth, EXACT)
    assert_close("gradient", grad, slope, EXACT)
    labels = target.clamp(max=6).to(dtype)
    value, _ = run(PAT, path, logits, labels, ignore_index=-100)
    assert_close("loss", value, expected(PAT, logits, labels, ignore_index=-100)[0], EXACT)


@pytest.mark.parametrize("path", PATHS)
def test_target_shapes_and_strides(path):
    logits, target = example(SHAPE)
    value, grad = run(PAT, path, logits, target)
    strided = torch.stack((target, target), -1)[..., 0]
    for same in (target[:, None], strided, target.transpose(1, 2).contiguous().transpose(1, 2)):
        again, other = run(PAT, path, logits, same)
        assert_close("loss", again, value, EXACT)
        assert_close("gradient", other, grad, EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", [(3, 5, 20), (3, 5, 4, 5), (3, 5, 4, 5, 1), (3, 5, 2, 2, 5)], ids=str)
def test_spatial_ranks_agree(shape, path):
    logits, target = example((3, 5, 20))
    value, grad = run(Loss("BLVLoss"), path, logits, target)
    again, other = run(Loss("BLVLoss"), path, logits.reshape(shape), target.reshape(3, *shape[2:]))
    assert_close("loss", again, value, EXACT)
    assert_close("gradient", other.flatten(2), grad, EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64], ids=str)
def test_histogram(dtype, path, monkeypatch):
    """Mask sizes and, last, the labels that are neither a class nor ignored; several programs an image."""
    from importlib import import_module

    module = import_module(
        {"torch": "pat_triton.backends.torch.backend", "triton": "pat_triton.backends.triton.backend"}[path[0]]
    )
    monkeypatch.setattr("pat_triton.backends.triton.tiles.HISTOGRAM_PIXELS", 64)
    target = torch.randint(0, 9, (3, 17, 11), generator=torch.Generator().manual_seed(0)).to(dtype)
    target[0, :4] = 255
    counts = module.histogram(target.to(path[1]), 7, (255,)).cpu()
    for b in range(3):
        assert counts[b].tolist() == [*((target[b] == c).sum().item() for c in range(7)),
                                      ((target[b] > 6) & (target[b] < 255)).sum().item()]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("classes", "ignored", "alias"), [(200, -100, 156), (256, -1, 255), (7, 261, 5)])
def test_an_ignore_index_beyond_the_labels_dtype_does_not_wrap_into_a_class(classes, ignored, alias, path):
    logits = torch.randn(1, classes, 2, 3, dtype=torch.float64)
    target = torch.full((1, 2, 3), alias)
    target[0, 0] = 3
    value, grad = run(PAT, path, logits, target, ignore_index=ignored)
    again, same = run(PAT, path, logits, target.to(torch.uint8), ignore_index=ignored)
    assert torch.equal(again, value)
    assert torch.equal(same, grad)


def test_a_label_of_64_bits_does_not_wrap_into_a_class():
    from pat_triton.backends.triton import backend

    target = torch.tensor([[2**32 + 3, 3, -(2**32), 255]], device=GPU)
    assert backend.histogram(target, 7, (255,)).tolist() == [[0, 0, 0, 1, 0, 0, 0, 2]]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_logits_on_a_gpu_that_is_not_the_current_one():
    logits, target = example(SHAPE)
    with torch.cuda.device(0):
        value, _ = run(PAT, ("triton", torch.device("cuda:1")), logits, target)
    assert_close("loss", value, expected(PAT, logits, target)[0], EXACT)


@pytest.mark.skipif(GPU == CPU, reason="needs a GPU")
@pytest.mark.parametrize("loss", [PAT, Loss("BLVLoss"), Loss("LDAMLoss")], ids=["pat", "blv", "ldam"])
def test_cuda_graph_and_no_host_sync(loss, no_host_sync):
    """Captured once, replayed on new logits; PyTorch raises on any host synchronisation."""
    logits, target = example((2, 7, 32, 32), torch.float32)
    z, y = logits.to(GPU).requires_grad_(), target.to(GPU)
    criterion = loss.ours(("triton", GPU)).eval()

    def step():
        """Detached: a loss that keeps its graph ties the leaf to the stream of this step, and a later step on
        another stream warns of it."""
        value = criterion(z, y)
        (grad,) = torch.autograd.grad(value, z)
        return value.detach(), grad

    step()
    torch.cuda.synchronize()
    with no_host_sync():
        step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value, grad = step()
    with torch.no_grad():
        z.mul_(0.5)
    graph.replay()
    again, slope = step()
    torch.testing.assert_close(value, again)
    torch.testing.assert_close(grad, slope)
