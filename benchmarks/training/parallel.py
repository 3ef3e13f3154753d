"""The processes that ``torchrun`` started, which train one network together; without it there is one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

# DistributedDataParallel imports it anyway, but later, when its functions would keep the group as a default: its
# threads would run on while Python ends, and can abort it.
import torch.distributed.nn
from torch import Tensor

T = TypeVar("T")


def launched() -> bool:
    return dist.is_torchelastic_launched()


def rank() -> int:
    return int(os.environ["RANK"]) if launched() else 0


def size() -> int:
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def own_device(name: str) -> str:
    """Of the GPUs that "auto" and "cuda" mean, the one of this process."""
    if launched() and (name == "cuda" or (name == "auto" and torch.cuda.is_available())):
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """The processes can talk to each other; they leave together."""
    if not launched():
        yield
        return
    backend = dist.get_default_backend_for_device(device.type)
    dist.init_process_group(backend, device_id=None if device.type == "cpu" else device)
    yield
    # Not after an error: the others still wait for this process, until torchrun ends them.
    dist.barrier()
    dist.destroy_process_group()


def share(batch: Sequence[T]) -> Sequence[T]:
    """This process's part of a batch that they share evenly."""
    own = len(batch) // size()
    return batch[rank() * own : (rank() + 1) * own]


def average(x: Tensor) -> Tensor:
    """Over the processes; its gradient is that of all their losses."""
    return _Sum.apply(x) / size() if launched() else x


def gather(own: T) -> list[T]:
    """One of each process, in the order of the ranks."""
    if not launched():
        return [own]
    found: list[T] = [own] * size()
    dist.all_gather_object(found, own)
    return found


class _Sum(torch.autograd.Function):
    """torch.distributed.nn has it too, but deprecated."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:  # type: ignore[override]
        return _Sum.apply(grad)
