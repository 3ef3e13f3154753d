"""The Triton face of each focusing curve in ``pat_triton.curves``, under the same name.

A curve takes ``u = log p``, ``p`` and ``q = 1 - p`` of the label's class, each of one pixel tile,
then its parameters, and returns ``(value, slope)``: the loss ``-f(p) * u`` and its derivative with
respect to ``u``. ``q`` is exact where ``1 - p`` would cancel.
"""

import triton
import triton.language as tl

from .pixel import LOG2_E


@triton.jit
def cross_entropy(u, p, q):
    return -u, tl.full(u.shape, -1.0, u.dtype)


@triton.jit
def focal(u, p, q, gamma):
    # log(0) is kept out of the power: q ** gamma is 1 at gamma = 0 and 0 otherwise.
    log_q = tl.log(tl.where(q > 0, q, 1.0))
    at_zero = tl.where(gamma == 0, 1.0, 0.0)
    f = tl.where(q > 0, tl.exp(gamma * log_q), at_zero)
    # u / q tends to -1 as q tends to 0, and p * u to 0 as p does.
    ratio = tl.where(p > 0, p * u, 0.0) / tl.where(q > 0, q, 1.0)
    ratio = tl.where(q > 0, ratio, -1.0)
    return -f * u, f * (gamma * ratio - 1)


@triton.jit
def exponential(u, p, q, temperature, epsilon, through):
    rate = 1 / temperature
    f = tl.exp2((q - epsilon) * (rate * LOG2_E))
    pu = tl.where(p > 0, p * u, 0.0)
    return -f * u, f * (through * rate * pu - 1)


@triton.jit
def none(u, p, q):
    return tl.zeros_like(u), tl.zeros_like(u)
