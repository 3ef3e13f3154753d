"""A loss is an ordinary module: copies, pickles, state_dict, and moves that keep its statistics' digits."""

import copy
import io
import pickle

import pytest
import torch
from cases import LOSSES, WEIGHT, example

import pat_triton

COUNTS = [2**53 + 1, 3, 0, 45000, 3, 260, 1]


def test_weights_and_counts_keep_their_digits():
    """``.half()`` is meant for networks; 1e-9 would be 0 in float16, and 2 ** 53 + 1 another number in float64."""
    weight = torch.tensor([1 / 3, 1e-9, 1.0, 2.0, 1e6, 1.0, 1.0], dtype=torch.float64)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 7, 1), pat_triton.LDAMLoss(COUNTS, weight=weight))
    logits, target = example((2, 7, 3, 4))
    before = net[1](logits, target)
    for move in (net.half, net.bfloat16, lambda: net.to(torch.float16), lambda: net.to("cpu", torch.float32)):
        move()
        assert net[1].weight.dtype == torch.float64 and torch.equal(net[1].weight, weight)
        assert net[1].class_counts.tolist() == COUNTS
        assert torch.equal(net[1](logits, target), before)
    assert net[0].weight.dtype == torch.float32
    net.to("meta")
    assert net[1].weight.is_meta and net[1].class_counts.is_meta


@pytest.mark.parametrize("loss", LOSSES)
def test_copies(loss):
    criterion = loss.ours(("torch", torch.device("cpu")))
    logits, target = example((2, 7, 3, 4))
    file = io.BytesIO()
    torch.save(criterion, file)
    file.seek(0)
    copies = (
        copy.deepcopy(criterion),
        pickle.loads(pickle.dumps(criterion)),
        torch.load(file, weights_only=False),
    )
    torch.manual_seed(0)
    value = criterion(logits, target)
    for other in copies:
        torch.manual_seed(0)
        assert torch.equal(other(logits, target), value)
        assert repr(other) == repr(criterion)
        for copied, kept in zip(other.buffers(), criterion.buffers(), strict=True):
            assert copied is not kept


def test_state_dict():
    criterion = pat_triton.LDAMLoss(COUNTS, weight=WEIGHT)
    assert set(criterion.state_dict()) == {"weight", "class_counts"}
    other = pat_triton.LDAMLoss([1] * 7, weight=[1.0] * 7)
    for assign in (False, True):
        other.load_state_dict(criterion.state_dict(), assign=assign)
        assert torch.equal(other.weight, criterion.weight) and other.class_counts.tolist() == COUNTS
    late = pat_triton.LDAMLoss()
    late.weight = WEIGHT
    resumed = torch.nn.Sequential(pat_triton.LDAMLoss())
    resumed.load_state_dict(torch.nn.Sequential(late).state_dict())
    assert torch.equal(resumed[0].weight, late.weight) and resumed[0].weight is not late.weight
    assert pat_triton.PATLoss().state_dict() == {}
    assert list(criterion.parameters()) == []


def test_a_changed_weight_is_a_copy():
    weight = torch.ones(7)
    criterion = pat_triton.CrossEntropyLoss()
    criterion.weight = weight
    weight.zero_()
    assert criterion.weight.sum() == 7 and "weight" in criterion.state_dict()


def test_but_writes_to_nothing():
    """Another mode or option for one call: the numbers of a criterion that has it, and of this one's later options."""
    logits, target = example((2, 7, 3, 4))
    criterion = pat_triton.BLVLoss(reduction="mean")
    before = dict(criterion.__dict__), repr(criterion)
    plain = pat_triton.CrossEntropyLoss(reduction="sum")
    assert torch.equal(criterion.but(training=False, reduction="sum")(logits, target), plain(logits, target))
    assert criterion.training and repr(criterion) == before[1]
    assert criterion.but(reduction="mean") is criterion
    assert criterion.but(reduction="sum") is criterion.but(reduction="sum")
    criterion.loss_weight = 3.0
    ours = criterion.but(training=False, reduction="sum")(logits, target)
    torch.testing.assert_close(ours, 3 * plain(logits, target))
    criterion.weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    plain = pat_triton.CrossEntropyLoss(reduction="sum", weight=criterion.weight)
    torch.testing.assert_close(
        criterion.but(training=False, reduction="sum")(logits, target), 3 * plain(logits, target)
    )
    assert not copy.deepcopy(criterion).__dict__.get("others")


def test_but_compiled_and_replicated():
    """In a graph, and of a replica, whose buffers are its own."""
    logits, target = example((2, 7, 3, 4))
    target = target.masked_fill(target == 3, -1)
    criterion = pat_triton.LDAMLoss([1, 2, 3, 4, 5, 6, 7])

    def step(z, y):
        return criterion.but(ignore_index=(-1, 255), reduction="sum", training=False)(z, y)

    torch._dynamo.reset()
    assert torch.equal(torch.compile(step, fullgraph=True, backend="aot_eager")(logits, target), step(logits, target))
    torch._dynamo.reset()
    replica = criterion._replicate_for_data_parallel()
    replica._buffers["class_counts"] = replica._buffers["class_counts"].flip(0)
    assert step(logits, target) != replica.but(ignore_index=(-1, 255), reduction="sum", training=False)(logits, target)
    criterion.eval()
    assert not criterion.but(reduction="sum").training
    criterion.train()
    assert criterion.but(reduction="sum").training


def test_a_replica_keeps_what_it_is_given():
    """As DataParallel assigns it, at every call: a copy on another device, which is not read."""
    replica = pat_triton.LDAMLoss(COUNTS, weight=WEIGHT)._replicate_for_data_parallel()
    for name in ("weight", "class_counts"):
        copied = getattr(replica, name).to("meta")
        setattr(replica, name, copied)
        assert getattr(replica, name) is copied
