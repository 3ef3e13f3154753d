"""torch.compile gives the numbers of an eager call; so do CUDA graphs and deterministic algorithms."""

import re
import shutil

import pytest
import torch
from cases import EACH, GPU, PATHS, WEIGHT, Loss, assert_close
from steps import CLASSES, DENSE, EVERY, INTERPRETED, RESIZED, batch
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache

import pat_triton

STEPS = [pytest.param(DENSE, id="dense"), pytest.param(RESIZED, id="resized")]


@pytest.fixture(autouse=True)
def fresh():
    """Nothing compiled before, nor left for the tests after it."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def uncached():
    """What inductor compiled before is not found again."""
    with fresh_cache():
        yield


needs_inductor = pytest.mark.skipif(
    GPU.type == "cpu" and not shutil.which("g++"), reason="inductor needs a C++ compiler on a CPU"
)


def outcome(criterion, logits, target, seed=3):
    """Value, gradient and statistics of one call."""
    torch.manual_seed(seed)
    value, statistics = criterion(logits, target, return_stats=True)
    value.backward(torch.full_like(value, -1.5))
    gradient, logits.grad = logits.grad, None
    return value.detach(), gradient, *statistics


FEW = ("PATLoss", "BLVLoss")  # where inductor compiles for a CPU, which takes long
# Every loss dense, and each with one set of parameters resized: they make no other graph there.
ONCE = [row.values[0] for row in EACH]
COMPILED = [
    pytest.param(loss, path, steps.values[0], id=f"{loss.name}-{path[0]}-{steps.id}")
    for loss, path in EVERY
    for steps in STEPS
    if steps.id == "dense" or path == INTERPRETED or loss in ONCE
]


@pytest.mark.parametrize(("loss", "path", "steps"), COMPILED)
def test_compiled_is_eager(loss, path, steps):
    """Bit by bit, in one graph for all sizes: no break, and no recompilation from step to step."""
    # What a compiled "auto" is where sizes are not known.
    criterion = loss.ours(path, gradient="recompute" if steps is DENSE else "auto")
    compiled = torch.compile(loss.ours(path), fullgraph=True, backend="aot_eager", dynamic=True)
    for step in steps[:2] if path == INTERPRETED else steps:
        logits, target = batch(step, path[1])
        for a, b in zip(outcome(compiled, logits, target), outcome(criterion, logits, target), strict=True):
            assert torch.equal(a, b)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "options",
    [{"gradient": "one_pass"}, {"reduction": "none"}, {"reduction": "sum", "gradient": "recompute"}],
    ids=["one_pass", "none", "sum"],
)
def test_compiled_options(options, path):
    loss = Loss("PATLoss", {"weight": WEIGHT})
    compiled = torch.compile(loss.ours(path, **options), fullgraph=True, backend="aot_eager")
    for _ in range(2):
        logits, target = batch(DENSE[0], path[1])
        for a, b in zip(
            outcome(compiled, logits, target), outcome(loss.ours(path, **options), logits, target), strict=True
        ):
            assert torch.equal(a, b)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.usefixtures("uncached")
@needs_inductor
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("loss", [row for row in EACH if GPU.type == "cuda" or row.values[0].name in FEW])
def test_inductor(loss, steps):
    """The default backend: with a loss under it, in a network's graph."""
    backend = "triton" if GPU.type == "cuda" else "torch"
    eager = loss.ours((backend, GPU), gradient="recompute")
    layer = torch.nn.Conv2d(CLASSES, CLASSES, 1, device=GPU)
    step = torch.compile(lambda z, y: eager(layer(z), y), fullgraph=True)
    for images in steps[:2]:
        logits, target = batch(images, GPU)
        results = []
        for call in (step, lambda z, y: eager(layer(z), y)):
            layer.zero_grad()
            torch.manual_seed(5)
            call(logits, target).backward()
            results.append((layer.weight.grad.double(), logits.grad.double()))
            logits.grad = None
        for a, b in zip(*results, strict=True):
            assert_close("gradient", a, b, 1e-5)


def test_compiled_evaluation():
    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=True)
    def evaluated(logits, target):
        return pat_triton.predict(logits, target.shape[1:]), pat_triton.confusion_matrix(logits, target, CLASSES)

    for step in RESIZED:
        logits, target = batch(step, torch.device("cpu"))
        labels, matrix = evaluated(logits, target)
        assert torch.equal(labels, pat_triton.predict(logits, target.shape[1:]))
        assert torch.equal(matrix, pat_triton.confusion_matrix(logits, target, CLASSES))
    with pytest.raises(ValueError, match=r"^target: 1 label is neither a class 0..6 nor ignore_index=255: 9 "):
        evaluated(logits, target.index_put((torch.tensor(0),) * 3, torch.tensor(9)))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compiled_labels_are_checked(reduction):
    """When the graph runs, also where nothing else needs their histogram."""
    compiled = torch.compile(
        pat_triton.CrossEntropyLoss(reduction=reduction), fullgraph=True, backend="aot_eager", dynamic=True
    )
    logits, target = batch(DENSE[0], torch.device("cpu"))
    compiled(logits, target)
    target[1, 2, 3] = -100
    message = (
        "target: 1 label is neither a class 0..6 nor ignore_index=255: -100 (1 pixel); "
        "to ignore these pixels pass ignore_index=(255, -100)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compiled(logits, target)


def test_wrong_arguments_while_compiling():
    compiled = torch.compile(pat_triton.PATLoss(), fullgraph=True, backend="aot_eager")
    logits, target = batch(DENSE[0], torch.device("cpu"))
    with pytest.raises(RuntimeError, match=re.escape("target: expected uint8, int16, int32 or int64 class indices")):
        compiled(logits, target.float())


@pytest.mark.skipif(GPU.type != "cuda", reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "PATLoss", "BLVLoss"])
def test_cuda_graph(name, steps):
    """Captured once, forward and backward, and replayed with other logits and other noise."""
    criterion = Loss(name).ours(("triton", GPU))
    logits, target = batch(steps[0], GPU)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            torch.autograd.grad(criterion(logits, target), logits)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = criterion(logits, target)
        (gradient,) = torch.autograd.grad(value, logits)
        # A loss that keeps its graph ties the leaf to the capture's stream, and a step on another stream warns.
        value = value.detach()
    for factor in (1.0, 0.5):
        with torch.no_grad():
            logits.mul_(factor)
        torch.manual_seed(5)
        graph.replay()
        replayed = value.clone(), gradient.clone()
        if name != "BLVLoss":
            again = criterion(logits, target)
            assert torch.equal(replayed[0], again.detach())
            assert torch.equal(replayed[1], torch.autograd.grad(again, logits)[0])
    graph.replay()
    assert torch.equal(value, replayed[0]) == (name != "BLVLoss")


@pytest.mark.parametrize("plan", ["one_pass", "recompute"])
def test_compiled_has_no_second_derivative(plan):
    """Nor a tangent: it raises as in eager, where a backend lets it come so far."""
    logits, target = batch(DENSE[0], torch.device("cpu"))
    compiled = torch.compile(pat_triton.PATLoss(gradient=plan), fullgraph=True, backend="eager")
    (gradient,) = torch.autograd.grad(compiled(logits, target) ** 2, logits, create_graph=True)
    with pytest.raises(RuntimeError, match=r"^pat_triton losses have no second derivative"):
        gradient.square().sum().backward()
    with torch.autograd.forward_ad.dual_level(), pytest.raises(RuntimeError, match="no forward-mode derivative"):
        compiled(torch.autograd.forward_ad.make_dual(logits.detach(), torch.ones_like(logits)), target)


def test_deterministic_algorithms():
    torch.use_deterministic_algorithms(True)
    try:
        for loss, path in EVERY:
            for step in (DENSE[0], RESIZED[0]):
                outcome(loss.ours(path), *batch(step, path[1]))
    finally:
        torch.use_deterministic_algorithms(False)


def test_compiled_where_nothing_is_looked_at(monkeypatch):
    """As on a GPU: nan for a wrong label, its error only where the environment asked for it."""
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    logits, target = batch(DENSE[0], GPU)
    target[1, 2, 3] = -100
    compiled = torch.compile(pat_triton.PATLoss(backend="triton"), fullgraph=True, backend="aot_eager")
    value, statistics = compiled(logits, target, return_stats=True)
    assert value.isnan() and statistics.loss[1].isnan().all() and (statistics.labelled[1] < 0).all()
    monkeypatch.setenv("PAT_TRITON_VALIDATE", "1")
    with pytest.raises(ValueError, match=r"^target: 1 label is neither"):
        compiled(logits, target)
