"""Compiles rivals ahead of a suite, in processes side by side; torch's cache on disk hands the results on.

Nothing depends on it but time: what is not in the cache is compiled when its turn comes.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context

import torch

from .case import example
from .eager import FORMULAS
from .shapes import Shape

Task = tuple[Shape, tuple[int, int], str]


def compile_all(tasks: Sequence[Task], device: torch.device, workers: int, seconds: float) -> None:
    """tasks: shape, size of the logits and dtype of each run; nothing more is begun after ``seconds``."""
    # The cache's keys depend on whether torch or this package is imported first.
    with ProcessPoolExecutor(workers, get_context("spawn"), exec, ("import torch",)) as pool:
        waiting = [pool.submit(_compile, loss, task, str(device)) for task in tasks for loss in FORMULAS]
        wait(waiting, seconds)
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
