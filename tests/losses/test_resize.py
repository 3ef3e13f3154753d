"""Logits of another size than their target: bilinear interpolation and the dense loss, without the tensor between."""

import pytest
import torch
import torch.nn.functional as F
from cases import (
    BLV,
    EXACT,
    GPU,
    LDAM,
    LOSSES,
    PAT,
    PATHS,
    PLANS,
    RESIZES,
    SAME_DTYPE,
    Loss,
    assert_close,
    distance,
    enlarged,
    expected,
    run,
    tiled,
    tolerance,
)  # fmt: skip

SOURCE, SIZE = (2, 7, 6, 9), (15, 23)
THREE = pytest.mark.parametrize("loss", [PAT, LDAM, BLV], ids=lambda loss: loss.name)
CORNERS = pytest.mark.parametrize("align_corners", [False, True], ids=["half-pixels", "corners"])


def assert_equals_the_reference(loss, path, logits, target, **options):
    value, grad = run(loss, path, logits, target, **options)
    options.pop("gradient", None)
    truth, slope = expected(loss, logits, target, on=path[1], **options)
    assert_close("loss", value, truth, tolerance(loss, path))
    assert_close("gradient", grad, slope, tolerance(loss, path))


@CORNERS
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_resized_logits(loss, path, align_corners):
    assert_equals_the_reference(loss, path, *enlarged(SOURCE, SIZE), align_corners=align_corners)


@CORNERS
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("source", "size"), RESIZES, ids=str)
def test_every_ratio(source, size, path, align_corners):
    assert_equals_the_reference(BLV, path, *enlarged((2, 5, *source), size), align_corners=align_corners)


@pytest.mark.parametrize(
    ("reduction", "plan"),
    [("mean", "one_pass"), ("mean", "recompute"), ("sum", "one_pass"), ("sum", "recompute"), ("none", "recompute")],
)
@pytest.mark.parametrize("path", PATHS)
@THREE
def test_reductions_and_plans(loss, path, reduction, plan):
    """Each with a gradient that arrives, of one number or of one a pixel."""
    logits, target = enlarged(SOURCE, SIZE)
    upstream = torch.rand(target.shape, dtype=torch.float64) if reduction == "none" else torch.tensor(0.3)
    options = {"reduction": reduction, "upstream": upstream}
    assert_equals_the_reference(loss, path, logits, target, gradient=plan, **options)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", SAME_DTYPE, ids=str)
@THREE
def test_resized_no_worse_than_torch_at_the_same_dtype(loss, dtype, path):
    logits, target = enlarged(SOURCE, SIZE, dtype)
    truth = expected(loss, logits.double(), target, on=path[1])
    ours, theirs = run(loss, path, logits, target), expected(loss, logits, target, on=path[1])
    for name, a, b, c in zip(("loss", "gradient"), ours, theirs, truth, strict=True):
        assert distance(a, c) <= distance(b, c) + SAME_DTYPE[dtype], name


@pytest.mark.parametrize("path", PATHS)
@THREE
def test_long_columns(loss, path):
    """Too long for registers: in blocks of the classes, the softmax's results kept between."""
    for classes in (40, 150):
        assert_equals_the_reference(loss, path, *enlarged((1, classes, 3, 4), (7, 11)))


@pytest.mark.parametrize(
    "tile",
    [
        {"CLASSES": 8, "INTERVALS": 2, "OUTPUTS": 4, "SOURCE_ROWS": 1, "num_warps": 4},  # the smallest program
        {"CLASSES": 8, "INTERVALS": 64, "OUTPUTS": 4, "SOURCE_ROWS": 64, "num_warps": 4},  # all in one
        {"CLASSES": 4, "INTERVALS": 4, "OUTPUTS": 4, "SOURCE_ROWS": 2, "num_warps": 4},  # blocks of classes
    ],
    ids=["smallest", "one", "blocks"],
)
@pytest.mark.parametrize("plan", PLANS)
@THREE
def test_tile_size_does_not_matter_to_resized_logits(loss, plan, tile, monkeypatch):
    # Of the smallest programs: two images, and nodes with neighbours on both sides in either direction.
    logits, target = enlarged((2, 7, 3, 3), (7, 8))
    with tiled(monkeypatch, **tile):
        assert_equals_the_reference(loss, ("triton", GPU), logits, target, gradient=plan)


@pytest.mark.parametrize("chunk", [1, 400, 3000], ids=["pixels", "parts of rows", "rows"])
@THREE
def test_chunk_size_does_not_matter_to_resized_logits(loss, chunk, monkeypatch):
    """Cells that two chunks share are given to by both; also where intervals have as many rows each."""
    monkeypatch.setattr("pat_triton.backends.torch.source.CPU_CHUNK", chunk)
    for source, size in (((6, 9), (15, 23)), ((9, 8), (4, 3)), ((5, 6), (20, 17)), ((4, 3), (8, 12))):
        assert_equals_the_reference(loss, ("torch", torch.device("cpu")), *enlarged((2, 7, *source), size))


# The interpreter takes seconds for each: there one loss; test_every_loss_of_resized_logits has them all.
CHECKED = [pytest.param(PATHS[0].values[0], loss, id=f"{loss.name}-torch") for loss in (PAT, LDAM, BLV)]
CHECKED += [pytest.param(PATHS[1].values[0], PAT, id="PATLoss-triton")]


@CORNERS
@pytest.mark.parametrize(("path", "loss"), CHECKED)
def test_gradcheck_of_resized_logits(loss, path, align_corners):
    logits, target = enlarged((1, 3, 2, 3), (5, 7))
    criterion = loss.ours(path, align_corners=align_corners).eval()
    z, y = logits.to(path[1]).requires_grad_(), target.to(path[1])
    assert torch.autograd.gradcheck(lambda z: criterion(z, y), z)


@pytest.mark.parametrize("path", PATHS)
def test_the_noise_is_that_of_the_full_size(path):
    """One seed, the logits interpolated before or on the way."""
    logits, target = enlarged(SOURCE, SIZE)
    z = logits.to(path[1]).requires_grad_()
    dense = F.interpolate(z, SIZE, mode="bilinear")
    torch.manual_seed(3)
    truth = BLV.ours(path)(dense, target.to(path[1]))
    truth.backward()
    value, grad = run(BLV, path, logits, target)
    assert_close("loss", value, truth.detach().cpu(), EXACT)
    assert_close("gradient", grad, z.grad.cpu(), EXACT)


@pytest.mark.skipif(GPU.type != "cpu", reason="the interpreter's programs have an order; a GPU's have none")
@THREE
def test_the_order_of_programs_does_not_matter(loss, monkeypatch):
    """No program writes what another has finished: the last one first gives the same bits."""
    from triton.runtime.interpreter import interpreter_builder as builder

    def step():
        criterion = loss.ours(("triton", GPU))
        z = logits.clone().requires_grad_()
        torch.manual_seed(3)
        value, stats = criterion(z, target, return_stats=True)
        value.backward()
        return value, z.grad, *stats

    logits, target = enlarged((1, 7, 20, 36), (50, 80), torch.float32)
    forwards = step()
    seen, set_index = [], builder.set_grid_idx
    monkeypatch.setattr(
        builder, "set_grid_idx", lambda x, y, z: seen.append(x) or set_index(builder.grid_dim[0] - 1 - x, y, z)
    )
    assert all(map(torch.equal, step(), forwards))
    assert len(set(seen)) > 3


LAYOUTS = {
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t,
    "crop": lambda t: F.pad(t, (1, 2, 3, 1))[..., 3:-1, 1:-2],
    "flipped": lambda t: t.transpose(-1, -2).contiguous().transpose(-1, -2),
    "every second": lambda t: torch.stack((t, t), -1)[..., 0],
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_resized_logits(layout, path):
    logits, target = enlarged(SOURCE, SIZE)
    value, grad = run(PAT, path, logits, target)
    again, same = run(PAT, path, LAYOUTS[layout](logits), LAYOUTS[layout](target)[:, None])
    assert_close("loss", again, value, EXACT)
    assert_close("gradient", same, grad, EXACT)


@pytest.mark.untouched  # Dynamo does not trace the poison
def test_compiled_with_resized_logits():
    logits, target = enlarged(SOURCE, SIZE)
    criterion = PAT.ours(("torch", torch.device("cpu")))
    compiled = torch.compile(lambda z: 2 * criterion(z.tanh(), target), backend="eager")
    assert torch.equal(compiled(logits), 2 * criterion(logits.tanh(), target))


def assert_the_far_end_stands_alone(path, nodes, ratio, classes, dtype, allowed):
    """The last nodes' gradient, in a wide image and in a crop of it."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(1, classes, nodes, nodes, generator=g).to(path[1], dtype)
    y = torch.randint(0, classes, (1, nodes * ratio, nodes * ratio), generator=g, dtype=torch.uint8).to(path[1])
    grads = []
    for part in (nodes, 4):
        corner = z[..., -part:, -part:].clone().requires_grad_()
        Loss("CrossEntropyLoss").ours(path, reduction="sum")(
            corner, y[..., -part * ratio :, -part * ratio :]
        ).backward()
        grads.append(corner.grad[..., -2:, -2:])
    assert_close("gradient", *grads, allowed)
    assert grads[0].abs().sum() > 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("classes", [7, 40])
def test_the_far_end(classes, path):
    """Of 17 rows of nodes, which are one more than a program has."""
    assert_the_far_end_stands_alone(path, 17, 2, classes, torch.float64, EXACT)


@pytest.mark.skipif(GPU.type == "cpu", reason="needs a GPU")
@pytest.mark.untouched
def test_more_than_2_to_the_31_pixel_classes():
    """150 x 4096 x 4096 = 2.5e9: no index wraps, and the whole takes less than 1 GiB; the bf16 tensor would take 5."""
    torch.cuda.reset_peak_memory_stats()
    assert_the_far_end_stands_alone(("triton", GPU), 64, 64, 150, torch.bfloat16, 1e-2)
    assert torch.cuda.max_memory_allocated() < 1 << 30


@pytest.mark.skipif(GPU.type == "cpu", reason="needs a GPU")
@THREE
def test_no_host_sync_for_resized_logits(loss, no_host_sync):
    logits, target = enlarged(SOURCE, SIZE, torch.float32)
    z, y = logits.to(GPU).requires_grad_(), target.to(GPU)
    criterion = loss.ours(("triton", GPU))
    with no_host_sync():
        value, _ = criterion(z, y, return_stats=True)
        value.backward()
