"""What a graph of torch.compile holds of a call: its operators, what stays an input, and whether it can be captured."""

import copy

import pytest
import torch
from cases import COUNTS, CPU, EACH, GPU, PATHS, Loss, assert_close
from graphs import Graphs, fresh, is_ours  # noqa: F401  (fresh is a fixture of every test here)
from schedules import NUMBERS, SCHEDULES
from steps import DENSE, INTERPRETED, RESIZED, batch
from torch._dynamo.utils import counters

import pat_triton
from pat_triton.adjustment import LogPrior
from pat_triton.settings import read
from pat_triton.weights import Pixel

META = torch.device("meta")


def step(call, logits, target, **options):
    torch.manual_seed(3)
    value = call(logits, target, **options)
    value = value[0] if isinstance(value, tuple) else value
    heads = logits if isinstance(logits, list) else [logits]
    return value.detach(), *torch.autograd.grad(value.sum(), heads)


# A call's logits by size, its options, and the operators of its forward and its backward.
DENSE_LOGITS, RESIZED_LOGITS = DENSE[0], RESIZED[0]
CALLS = {
    "one pass": ([RESIZED_LOGITS], {}, ["forward"], []),
    "recomputed": ([DENSE_LOGITS], {"gradient": "recompute"}, ["forward"], ["backward"]),
    "no reduction": ([DENSE_LOGITS], {"reduction": "none"}, ["forward"], ["backward"]),
    "three heads": ([RESIZED_LOGITS] * 3, {"gradient": "recompute"}, ["forward"], ["backward"]),
}


@pytest.mark.parametrize("stats", [False, True])
@pytest.mark.parametrize("loss", [Loss("PATLoss"), Loss("BLVLoss"), Loss("LDAMLoss", {"class_counts": COUNTS})])
@pytest.mark.parametrize("name", CALLS)
def test_one_operator_each_way(name, loss, stats):
    """And beside it what scales a gradient of one pass: nothing that draws, counts or makes tables."""
    sizes, options, forward, backward = CALLS[name]
    made = [batch(size, CPU) for size in sizes]
    heads, target = [z for z, _ in made], made[0][1]
    criterion, graphs = loss.ours(("torch", CPU), **options), Graphs()
    call = torch.compile(criterion, fullgraph=True, backend=graphs.backend)
    step(call, heads, target, return_stats=stats)
    assert graphs.operators() == [forward, backward]
    others = [n.name for g in graphs.held for n in g.graph.nodes if n.op == "call_function" and not is_ours(n.target)]
    assert len([n for n in others if not n.startswith("getitem")]) <= (0 if backward else 2)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_schedule_recompiles_nothing(name, path):
    """A number that changes from step to step is an input of the graph, in forward and in backward."""
    made, change = SCHEDULES[name]
    gradient = "recompute" if name in ("gamma", "sigma") else "auto"
    criterion = made(backend=path[0], gradient=gradient)
    eager = copy.deepcopy(criterion)
    compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    logits, target = batch(RESIZED_LOGITS, path[1])
    values = set()
    for i in range(2 if path == INTERPRETED else 30):
        for c in (criterion, eager):
            change(c, 0.3 * i)
        ours = step(compiled, logits, target)
        for a, b in zip(ours, step(eager, logits, target), strict=True):
            assert torch.equal(a, b)
        values.add(ours[0].item())
    assert counters["stats"]["unique_graphs"] == 1
    assert len(values) == i + 1


@pytest.fixture
def alone(tmp_path):
    """A group of one process, whose tables torch's operators make in the graph."""
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", NUMBERS)
def test_a_schedule_over_processes_recompiles_nothing(name, alone):
    made, change = SCHEDULES[name]
    criterion, eager = (made(process_group="world", ignore_index=(0, 255)) for _ in range(2))
    compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    logits, target = batch(RESIZED_LOGITS, CPU)
    for i in range(6):
        for c in (criterion, eager):
            change(c, i)
        for a, b in zip(step(compiled, logits, target), step(eager, logits, target), strict=True):
            assert_close(name, a, b, 1e-6)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("loss", EACH)
@pytest.mark.parametrize("gradient", ["one_pass", "recompute"])
def test_numbers_that_only_the_device_reads(loss, gradient, monkeypatch):
    """As on a GPU that the module was moved to: kernels take the options' numbers, and the heads', from memory."""
    monkeypatch.setattr(
        "pat_triton.operators.read_options", lambda settings, factors, *_: (read(settings, None), factors)
    )
    path = ("triton", GPU)
    criterion = loss.ours(path, gradient=gradient)
    call = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    (z, target), (other, _) = batch(DENSE_LOGITS, GPU), batch(DENSE_LOGITS, GPU)
    for options in ({}, {"weights": [0.3, -2.0]}):
        for a, b in zip(*(step(f, [z, other], target, **options) for f in (call, criterion)), strict=True):
            assert_close("numbers", a, b, 1e-6)


def test_weights_of_heads_recompile_once():
    """They are arguments, which a graph takes for constant until one changes."""
    criterion = pat_triton.PATLoss()
    call = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    (z, target), (other, _) = batch(RESIZED_LOGITS, CPU), batch(RESIZED_LOGITS, CPU)
    for i in range(12):
        options = {"weights": [1.0, 0.1 * i + 0.05]}
        for a, b in zip(*(step(f, [z, other], target, **options) for f in (call, criterion)), strict=True):
            assert torch.equal(a, b)
    assert counters["stats"]["unique_graphs"] == 2


OTHERS = {
    "curve": "focal",
    "adjustment": LogPrior(),
    "weights": Pixel(),
    "reduction": "sum",
    "ignore_index": 3 + 2**40,
    "gradient": "recompute",
    "class_counts": COUNTS,
    "weight": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_a_number_recompiles_once(name):
    criterion = pat_triton.PATLoss()
    compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    logits, target = batch(DENSE_LOGITS, CPU)
    target[target == 255] = 3
    for _ in range(3):
        step(compiled, logits, target)
    assert counters["stats"]["unique_graphs"] == 1
    setattr(criterion, name, OTHERS[name])
    for _ in range(3):
        ours = step(compiled, logits, target)
    for a, b in zip(ours, step(criterion, logits, target), strict=True):
        assert_close(name, a, b, 1e-6)
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.parametrize("loss", [Loss("PATLoss"), Loss("BLVLoss"), Loss("LDAMLoss", {"class_counts": COUNTS})])
@pytest.mark.parametrize("gradient", ["one_pass", "recompute"])
def test_a_graph_can_be_captured(loss, gradient, monkeypatch):
    """What CUDA graphs refuse is not there: tensors of another device than the logits', mutated inputs, nor what
    inductor knows to be unsafe. The device that has no numbers stands for a GPU."""
    from torch._inductor.compile_fx import get_all_devices  # which imports what torch deprecates
    from torch._inductor.utils import get_first_incompatible_cudagraph_node

    monkeypatch.setattr("pat_triton.criterion.KERNEL_DEVICES", ("meta",))
    criterion = loss.ours(("auto", CPU), gradient=gradient)
    logits, target = (t.detach().to(META) for t in batch(RESIZED_LOGITS, CPU))
    logits.requires_grad_()
    graphs = Graphs()
    call = torch.compile(criterion.to(META), fullgraph=True, backend=graphs.backend)
    call(logits, target, return_stats=True)[0].backward()
    assert len(graphs.held) == 2
    for graph in graphs.held:
        assert set(get_all_devices(graph)) == {META}
        assert get_first_incompatible_cudagraph_node(graph) is None
        functions = [n.target for n in graph.graph.nodes if isinstance(n.target, torch._ops.OpOverload)]
        assert not [f for f in functions if f._schema.is_mutable]


@pytest.mark.skipif(GPU.type != "cuda", reason="CUDA graphs need a GPU")
@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")  # torch's own first one
@pytest.mark.parametrize("size", [DENSE_LOGITS, RESIZED_LOGITS], ids=["dense", "resized"])
@pytest.mark.parametrize("gradient", ["one_pass", "recompute"])
@pytest.mark.parametrize("loss", [Loss("PATLoss"), Loss("BLVLoss"), Loss("LDAMLoss", {"class_counts": COUNTS})])
def test_reduce_overhead(loss, gradient, size):
    """Forward and backward are captured, a graph each, and a number that changes is seen by what was captured."""
    criterion = loss.ours(("auto", GPU), gradient=gradient).to(GPU)
    eager = copy.deepcopy(criterion)
    call = torch.compile(criterion, fullgraph=True, mode="reduce-overhead")
    logits, target = batch(size, GPU)
    for i in range(8):
        for c in (criterion, eager):
            c.loss_weight = 1.0 + i
        torch.compiler.cudagraph_mark_step_begin()
        ours = [t.clone() for t in step(call, logits, target)]
        if loss.name != "BLVLoss":
            for a, b in zip(ours, step(eager, logits, target), strict=True):
                assert_close("captured", a, b, 1e-6)
    assert counters["inductor"]["cudagraph_skips"] == 0
    manager = torch._inductor.cudagraph_trees.get_manager(torch.cuda.current_device(), create_if_none_exists=False)
    assert manager is not None and next(manager.graph_counter) >= 2
