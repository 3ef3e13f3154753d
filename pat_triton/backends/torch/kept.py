"""What depends on its arguments alone, kept from call to call."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch

from ...private import in_dispatch_mode

T = TypeVar("T")


def kept(most: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """A function whose last results are kept, so many at most; made anew under a mode that sees every operator."""

    def decorated(make: Callable[..., T]) -> Callable[..., T]:
        @lru_cache(most)
        def once(*arguments: Any) -> T:
            with torch.inference_mode(False), torch.no_grad():
                return make(*arguments)

        return lambda *arguments: make(*arguments) if in_dispatch_mode() else once(*arguments)

    return decorated
