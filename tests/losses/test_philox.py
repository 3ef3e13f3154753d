"""Philox word for word, and the variates that torch, the kernels and an NVIDIA GPU make of its words."""

import json
import math
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import GPU, OFF_ABOVE, OFF_BELOW, SMALL_RADIUS

from pat_triton import noise
from reference import philox as oracle

# Salmon et al.'s known answers (Random123, philox4x32-10): counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
KEY = (0x9ABCDEF0, 0xFEDCBA98)


def words(counter, key):
    return tuple(w.item() for w in noise.philox(key, *(torch.tensor([c]) for c in counter)))


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    assert words(counter, key) == answer
    assert tuple(w.item() for w in oracle.philox(tuple(torch.tensor(c) for c in counter), key)) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers_in_the_kernel(counter, key, answer):
    assert kernel_words(torch.tensor([counter]), key)[0].tolist() == list(answer)


def kernel_words(counters, key):
    """The kernel's four words of each row of counters, as int64."""
    import philox_kernel

    from pat_triton.backends.triton import hardware, philox

    made = []
    for multiply in (philox.multiply, philox.multiply_ptx)[: 1 + hardware.has_ptx(GPU)]:
        out = torch.zeros(len(counters), 4, dtype=torch.int64, device=GPU)
        philox_kernel.write_words[(len(counters),)](
            counters.to(GPU), torch.tensor(key, device=GPU), out, MULTIPLY=multiply
        )
        made.append(out.cpu())
    assert torch.equal(made[0], made[-1])
    return made[0]


def test_kernel_torch_and_reference_draw_the_same_words():
    g = torch.Generator().manual_seed(0)
    counters = torch.randint(0, 1 << 32, (50, 4), generator=g)
    ours = torch.stack(noise.philox(KEY, *counters.unbind(1)), 1)
    assert torch.equal(kernel_words(counters, KEY), ours)
    assert torch.equal(torch.stack(oracle.philox(counters.unbind(1), KEY), 1), ours)


TOP = 1 << 32
STEP = 1 << 9  # of a word's: its lower bits are not used
# Words whose ``unit`` is at either end, beside 1/2 and eighths, and others.
EXTREMES = torch.cat([torch.arange(20) * STEP + i * TOP // 8 for i in range(8)] + [TOP - 1 - torch.arange(20) * STEP])


def pairs_of_words():
    """Each of the extremes as the first word beside each as the second, then pairs at random, as (2, n)."""
    g = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, TOP, (2, 20_000), generator=g)
    # A radius that is small: the first word near its end.
    drawn[0, :10_000] = TOP - 1 - torch.randint(0, 1 << 21, (10_000,), generator=g)
    return torch.cat([torch.cartesian_prod(EXTREMES, EXTREMES).T, drawn], 1)


def true_pairs(words):
    """(radius, the magnitudes of both variates) in fp64."""
    u = ((words >> 9) + 0.5) * 2.0**-23
    radius = (-2 * u[0].log()).sqrt()
    angle = 2 * math.pi * u[1]
    return radius, torch.stack((radius * angle.cos(), radius * angle.sin())).abs()


def assert_within(off, radius, above, below):
    """What |v| is off in all pairs."""
    small = radius < SMALL_RADIUS
    assert small.any() and not off.isnan().any()
    assert off[:, ~small].max() < above
    assert off[:, small].max() < below


def kernel_pairs(words, sigma):
    """|v| of pairs of words by what the kernels have on this device, fp64 (2, n)."""
    import philox_kernel

    from pat_triton.backends.triton import hardware, philox

    pair = philox.box_muller_ptx if hardware.has_ptx(GPU) else philox.box_muller
    word0, word1 = torch.nn.functional.pad(words, (0, -words.shape[1] % 8192)).to(GPU).unbind()
    out = torch.empty(2, len(word0), device=GPU)
    philox_kernel.write_pairs[(len(word0) // 8192,)](
        word0, word1, torch.tensor(sigma, device=GPU), *out.unbind(), PAIR=pair, PAIRS=8192
    )
    return out[:, : words.shape[1]].cpu().double()


def test_variates_of_all_kinds_of_words():
    from pat_triton.backends.triton import hardware

    words = pairs_of_words()
    radius, truth = true_pairs(words)
    above, below = (OFF_ABOVE, OFF_BELOW) if hardware.has_ptx(GPU) else (4e-6, 4e-6)
    for sigma in (1 / 8, 4.0):  # nothing is clamped, and most is
        off = (kernel_pairs(words, sigma) - (truth * sigma).clamp(max=1)).abs() / sigma
        assert_within(off, radius, above, below)
    assert (kernel_pairs(words, 0.0) == 0).all()
    # Its square is infinite in fp32; what is next to 0 may be 0.
    assert (kernel_pairs(words, 1e30) == 1)[truth > above].all()


# What the manuals say the instructions are off at most: ``lg2`` 2 ** -22, of the result where that is more than 1
# (CUDA's guide for __log2f, and PTX's); ``cos`` and ``sin`` in [-pi, pi] (CUDA's guide for __cosf and __sinf); ``sqrt``
# 2 ** -23 of the result (PTX).
def noisy_hardware(errors):
    """The functions by name, off by these shares of the most."""
    lg2, turn, sqrt = errors
    return {
        "lg2": lambda x: x.log2() + lg2 * 2.0**-22 * x.log2().abs().clamp(min=1),
        "cos": lambda x: x.cos() + turn * 2.0**-21.19,
        "sin": lambda x: x.sin() + turn * 2.0**-21.41,
        "sqrt": lambda x: x.sqrt() * (1 + sqrt * 2.0**-23),
        "abs": torch.abs,
    }


def executed(ptx, functions, **registers):
    """Straight-line PTX carried out in fp64 and rounded to fp32 after each instruction; what it leaves in registers."""

    def bits(name):
        return registers[name] if name in registers else int(name, 0)

    def number(name):
        if name.startswith("0f"):
            return struct.unpack(">f", bytes.fromhex(name[2:]))[0]
        held = registers[name]
        return (held if held.dtype == torch.float32 else held.int().view(torch.float32)).double()

    for line in re.findall(r"^ *([a-z]\w+\.[^;]*);", ptx, re.MULTILINE):
        operation, to, *given = re.split(r",? ", line)
        name, *modifiers = operation.split(".")
        if name == "shf":
            low, high, by = map(bits, given)
            registers[to] = (high << 32 | low) >> by & 0xFFFFFFFF
            continue
        a, b, c = (*map(number, given), 0.0, 0.0)[:3]
        made = a + b if name == "add" else a * b + c if name in ("mul", "fma") else functions[name](a)
        made = made.float()
        registers[to] = made.nan_to_num(0.0).clamp(0, 1) if "sat" in modifiers else made
    return registers


@pytest.mark.parametrize("share", [-1, 0, 0.36, 1])
@pytest.mark.parametrize("turned", [-1, 0, 1])
def test_the_hardware_is_as_close_as_the_manuals_promise(share, turned):
    """The instructions that an NVIDIA GPU gets, each as far off as it may be. The logarithm of what is nearest to 1
    comes out as 0 (0.36 of the most) or above: no root is nan."""
    from pat_triton.backends.triton import philox

    words = pairs_of_words()
    radius, truth = true_pairs(words)
    scale = torch.full((), 2 * math.log(2) / 64)
    for rounded in (-1, 1):
        functions = noisy_hardware((share, turned, rounded))
        left = executed(philox.BOX_MULLER.value, functions, **{"$2": words[0], "$3": words[1], "$4": scale})
        v = torch.stack((left["$0"], left["$1"])).double() * 8
        assert_within((v - truth).abs(), radius, OFF_ABOVE, OFF_BELOW)
        assert left["angle"].abs().max() <= math.pi
    if share == 1:
        assert functions["lg2"](noise.unit(torch.tensor([TOP - 1])).double()) > 0


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "gfx942"])
def test_machine_code(target):
    """On NVIDIA one instruction each, and one for each product of Philox; nowhere a call. A loss that is compiled ahead
    of time draws what its target does."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "tests/noise_code.py", target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["calls"] == 0
    if target == "gfx942":
        assert made["drawn"] == ["gaussian"]
        return
    assert made["drawn"] == ["gaussian_ptx"]
    assert made["special"] == dict.fromkeys(("MUFU.LG2", "MUFU.SQRT", "MUFU.COS", "MUFU.SIN"), 1)
    assert made["products"] == 2 * 10
