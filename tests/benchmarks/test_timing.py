"""How a call is measured: sizes, tensors, turns, memory, launches and bandwidth."""

import time

import pytest
import torch

from benchmarks.speed import timing
from benchmarks.speed.case import example
from benchmarks.speed.cost import costs
from benchmarks.speed.shapes import SHAPES, resolve

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.MOST", 5)


def test_sizes_by_name():
    for name in SHAPES:
        assert resolve([name], CPU)[0] == name
        assert resolve([name], torch.device("cuda"))[1][1] == resolve([name], CPU)[1][1]
    assert resolve(["1", "5", "16", "24"], CPU) == ("1x5x16x24", (1, 5, 16, 24))


def test_the_tensors():
    """Labels are long-tailed and partly ignored; the floor is logits and labels read and the gradient written."""
    case = example((2, 19, 128, 128), (32, 32), "bf16", CPU)
    assert case.counts.max() > 50 * case.counts.min()
    assert (case.target[:, :12] == 255).all() and (case.target[:, 12:] != 255).all()
    assert case.floor_bytes == 2 * 2 * (2 * 19 * 32 * 32) + 8 * (2 * 128 * 128)
    assert 0.3 < (case.logits.argmax(1) == case.target[:, ::4, ::4]).double().mean() < 0.95


def test_turns(monkeypatch):
    """At least LEAST calls, more while the budget lasts, fewer only of one that takes too long; in turn."""
    order = []

    def step(name, seconds):
        return lambda: (order.append(name), time.sleep(seconds))

    steps = {"a": step("a", 0.0), "b": step("b", 0.02)}
    assert {name: len(t) for name, t in timing.times(steps, CPU, budget=0.0).items()} == {"a": 5, "b": 5}
    assert order == ["a", "a", "b", "b"] * 5  # the first of the two is not timed
    order.clear()
    monkeypatch.setattr(timing, "SLOW", 0.01)
    timing.times(steps, CPU, budget=0.0)
    assert order == ["a", "a", "b"] * 5
    monkeypatch.setattr(timing, "MOST", 50)
    assert {name: len(t) for name, t in timing.times(steps, CPU, budget=0.4).items()}["a"] == 50
    assert 5 < len(timing.times(steps, CPU, budget=0.4)["b"]) <= 20
    monkeypatch.setattr(timing, "LONGEST", 0.05)
    assert len(timing.times(steps, CPU, budget=0.4)["b"]) < 5


def test_footprint():
    ones = torch.ones(1 << 18)  # 1 MiB
    peak, operators = timing.footprint(lambda: (ones + 1) * 2, CPU)
    assert 2 << 20 <= peak < 2.1 * (1 << 20)
    assert operators == 2


def test_bandwidth(monkeypatch):
    monkeypatch.setitem(timing.COPIED, "cpu", 1 << 22)
    assert 1e8 < timing.bandwidth(CPU) < 1e13


def test_the_peak_counts_what_is_alive_at_once():
    logits = torch.zeros(1, 4, 256, 256, requires_grad=True)

    def twice(z, _):
        return ((z + 1) * 2).sum()  # two copies alive; the gradient's one comes after

    measured = costs({"twice": twice}, logits, torch.zeros(1, 256, 256))["twice"]
    assert 1.9 < measured.copies < 2.2
