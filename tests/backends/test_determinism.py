"""The same bits in every run, fifty times where runs could differ: value, gradient and statistics of every loss."""

import pytest
import torch
from cases import CPU, GPU, LOSSES, example

PLAIN = {loss.values[0].name: loss.values[0] for loss in reversed(LOSSES)}  # the first of each name
# Above 2 ** 15 elements torch shares its work between threads.
LARGE = 50, (2, 7, 48, 64), (96, 80)
# The interpreter's programs take milliseconds, and run one after the other.
SMALL = 5, (1, 7, 2, 3), (4, 5)
WAYS = {
    "torch-1-thread": ("torch", CPU, 1, LARGE),
    "torch-4-threads": ("torch", CPU, 4, LARGE),
    "triton": ("triton", GPU, 1, SMALL if GPU == CPU else LARGE),
}


@pytest.mark.parametrize("resized", [False, True], ids=["dense", "resized"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("loss", PLAIN.values(), ids=PLAIN)
def test_the_same_bits_every_time(loss, way, resized):
    backend, device, threads, (runs, shape, size) = way
    logits, _ = example(shape, torch.float32)
    _, target = example((*shape[:2], *(size if resized else shape[2:])))
    z, y = logits.to(device).requires_grad_(), target.to(device)
    criterion = loss.ours((backend, device))

    def run():
        torch.manual_seed(0)
        value, statistics = criterion(z, y, return_stats=True)
        return value.detach(), *torch.autograd.grad(value, z), *statistics

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first = run()
        assert all(all(map(torch.equal, run(), first)) for _ in range(runs - 1))
    finally:
        torch.set_num_threads(before)
    assert first[1].any()
