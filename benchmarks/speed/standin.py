"""A GPU's host without a GPU: everything that a call does before its kernels start, on CPU tensors.

Only the compiled kernels' own launcher is turned into nothing, and what Triton's front door does once for each kind of
call. It must run where TRITON_INTERPRET is unset.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from pat_triton import call, private
from pat_triton.backends.triton import backend
from pat_triton.backends.triton.launch import Launch
from pat_triton.checks import labels


def _start_nothing(*_: Any) -> None:
    """Stands for a compiled kernel's ``run``."""


def _first_launch(launch: Launch, pointers: Any, *numbers: Any) -> None:
    places = len(launch.kernel.arg_names) - len(pointers) - len(numbers) - len(launch.fixed)
    launch.tail = (*launch.fixed, *(None,) * places)
    launch.run = _start_nothing


@contextlib.contextmanager
def gpu() -> Iterator[None]:
    """Calls of ``backend="triton"`` on CPU tensors go the way of a GPU's, whose labels are not looked at."""
    if backend.INTERPRETED:
        raise ValueError("TRITON_INTERPRET: got 1, expected it unset: an interpreted kernel has no launcher")
    call.forget()
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (Launch, "compile_and_start", _first_launch),
            (private, "current_device", lambda: None),
            (private, "current_stream", lambda _: 0),
            (labels, "CHECKED_DEVICES", ()),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        for name in ("plan", "operators"):
            # A mock of its own costs more than what it stands for.
            stack.enter_context(mock.patch(f"pat_triton.{name}.choose", lambda *_: backend))  # noqa: PT008
        yield
    call.forget()
