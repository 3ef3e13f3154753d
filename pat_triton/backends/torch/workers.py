"""Who works on the chunks of a call: the thread that called, and helpers up to ``torch.get_num_threads()``.

Each takes the next chunk until there is none, and runs its operators ``alone``: a call has one parallel region, in
which nobody waits before the end, in place of one an operator. What depends on an order is done in the order of the
chunks, whoever worked on them, so that the number of threads changes no bit.

Helpers begin with the first call that has work for them, wait asleep, and end with the interpreter. A child of a fork
begins its own. Nobody waits for a helper that has not begun: a call inside another's chunk, and calls at once from
several threads, always come to an end.
"""

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...private import in_dispatch_mode
from .threads import alone, can_be_alone
from .workspace import Workspace, lent

P = TypeVar("P")
R = TypeVar("R")

# Of a chunk's time a third to a half is Python's, during which no other thread can be in Python: more threads would
# stand in line.
MOST = 8
# Elements for each: a millisecond and a half of work. A helper wakes up in a tenth of that, and each time that one of
# two threads waits for Python costs about as much: with half of it two took longer than one.
SHARE = 1 << 20


def in_order(
    parts: Sequence[P], elements: int, like: Tensor, work: Callable[[P, Workspace], R], finish: Callable[[P, R], None]
) -> None:
    """``finish(part, work(part, workspace))`` of all parts of a call on tensors as ``like``, with so many elements.

    ``work`` runs in several threads at once, on any part, and without recording gradients; ``finish`` in one at a time,
    in the order of the parts. The first exception of either ends the call.
    """
    plain = like.device.type == "cpu" and type(like) is Tensor and not in_dispatch_mode()
    helpers = min(torch.get_num_threads(), len(parts), MOST, elements // SHARE) - 1 if plain and can_be_alone() else 0
    if helpers < 1:
        with torch.no_grad(), alone(plain), lent(plain) as workspace:
            for part in parts:
                finish(part, work(part, workspace))
        return
    shift = _Shift(parts, work, finish)
    futures = _started(shift, helpers)
    try:
        shift.work()
    finally:
        shift.over = True
        begun = [future for future in futures if not future.cancel()]
        wait(begun)
    for future in begun:
        future.result()


class _Shift:
    """The work of one call, shared by those who take part in it."""

    def __init__(
        self, parts: Sequence[Any], work: Callable[[Any, Workspace], Any], finish: Callable[[Any, Any], None]
    ) -> None:
        self.parts, self._work, self._finish = parts, work, finish
        self.over = False
        self.inference = torch.is_inference_mode_enabled()
        self._numbers = itertools.count()  # of which each is given once, to whichever thread
        self._lock = threading.Lock()
        self._waiting: dict[int, Any] = {}
        self._next = 0

    def work(self) -> None:
        """One thread's share: chunks until there are none."""
        with torch.no_grad(), alone(True), lent(True) as workspace:
            try:
                while not self.over and (number := next(self._numbers)) < len(self.parts):
                    self._put(number, self._work(self.parts[number], workspace))
            except BaseException:
                self.over = True
                raise

    def help(self) -> None:
        """``work`` in a thread of its own, in the caller's inference mode: what that has allocated can be written to
        only there."""
        with torch.inference_mode(self.inference):
            self.work()

    def _put(self, number: int, result: Any) -> None:
        with self._lock:
            self._waiting[number] = result
            while self._next in self._waiting:
                self._finish(self.parts[self._next], self._waiting.pop(self._next))
                self._next += 1


_pool: ThreadPoolExecutor | None = None


def _started(shift: _Shift, helpers: int) -> list["Future[None]"]:
    global _pool
    if _pool is None:  # a thread begins where none is idle; so many are never wanted
        _pool = ThreadPoolExecutor(1024, thread_name_prefix="pat_triton")
    try:
        return [_pool.submit(shift.help) for _ in range(helpers)]
    except RuntimeError:  # the interpreter is about to end, and begins no thread
        return []


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
