"""First calls ahead of a run, in processes side by side; caches on disk hand on what they compile.

Nothing depends on it but time: what is not in a cache is compiled when its turn comes.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

import torch

from .case import example
from .formulas import FORMULAS
from .ours import options, ours
from .shapes import Shape

Task = tuple[Shape, tuple[int, int], str]
FEW = 2  # images; ours is compiled for any number


def compile_all(
    tasks: Sequence[Task], device: torch.device, workers: int, seconds: float, losses: Sequence[str] | None = None
) -> None:
    """The rivals of these losses, or all. tasks: shape, size of the logits and dtype of each run; nothing more is
    begun after ``seconds``."""
    each = [(loss, task, str(device)) for task in tasks for loss in losses or FORMULAS]
    side_by_side(_compile, each, workers, seconds)


def warm_ours(tasks: Sequence[Task], device: torch.device, workers: int, seconds: float) -> None:
    """As ``compile_all``, of our kernels."""
    side_by_side(_warm, [(loss, task, str(device)) for task in tasks for loss in FORMULAS], workers, seconds)


def side_by_side(call: Callable[..., Any], each: Iterable[tuple[Any, ...]], workers: int, seconds: float) -> None:
    """``call(*arguments)`` of each, in so many processes; nothing more is begun after ``seconds``."""
    # The cache's keys depend on the number of threads, and on whether torch or this package is imported first.
    start = f"import torch; torch.set_num_threads({torch.get_num_threads()})"
    with ProcessPoolExecutor(workers, get_context("spawn"), exec, (start,)) as pool:
        wait([pool.submit(call, *arguments) for arguments in each], seconds)
        pool.shutdown(cancel_futures=True)


def _compile(loss: str, task: Task, device: str) -> None:
    from torch._inductor import config

    config.compile_threads = 1
    config.autotune_local_cache = False  # a kernel's variants are timed again, by who has the device alone
    torch.compiler.reset()
    case = example(*task, torch.device(device))
    formula = FORMULAS[loss]
    case.step(case.as_trained(torch.compile(formula.loss, dynamic=False), *formula.tables(case.counts)))
    if case.device.type == "cuda":
        torch.cuda.empty_cache()


def _warm(loss: str, task: Task, device: str) -> None:
    (images, classes, height, width), source, dtype = task
    case = example((min(images, FEW), classes, height, width), source, dtype, torch.device(device))
    case.step(ours(loss, **options(loss, case.counts)).to(device))
