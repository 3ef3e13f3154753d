"""Names, numbers, flags and objects that a constructor or a call is given."""

import operator
import sys
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist


def known(argument: str, value: Any, names: Iterable[str]) -> str:
    """``value``, if it is one of ``names``."""
    names = list(names)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{argument}: got {value!r}, known: {', '.join(map(repr, names))}")
    return value


# Where the package has its own parts, and the argument that takes them.
PARTS = {"pat_triton.adjustment": "adjustment", "pat_triton.curves": "curve", "pat_triton.weights": "weights"}


def part(argument: str, value: Any, expected: str, module: str) -> Any:
    """One of the parts of a loss that are callables; ``module`` is where the package has those of this kind."""
    if isinstance(value, type):
        raise TypeError(
            f"{argument}: expected {expected}, got the class {value.__name__}; {value.__name__}(...) makes one"
        )
    if not callable(value):
        hint = "; class weights go to weight=" if argument == "weights" else ""
        raise TypeError(f"{argument}: expected {expected}, got {short(value)}{hint}")
    if type(value).__module__ != module and type(value).__module__ in PARTS:
        raise TypeError(f"{argument}: {value!r} is for the argument {PARTS[type(value).__module__]!r}")
    return value


def finite(argument: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = "; .item() makes a Python number of it" if hasattr(value, "item") else ""
        raise TypeError(f"{argument}: expected a number, got {type(value).__name__}{hint}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{argument}: expected a finite number, got {short(value)}")
    return float(value)


def positive(argument: str, value: Any) -> float:
    if finite(argument, value) <= 0:
        raise ValueError(f"{argument}: expected a number above 0, got {value}")
    return float(value)


def non_negative(argument: str, value: Any) -> float:
    if finite(argument, value) < 0:
        raise ValueError(f"{argument}: expected 0 or more, got {value}")
    return float(value)


def flag(argument: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{argument}: expected True or False, got {value!r}")
    return value


def index(argument: str, value: Any) -> int:
    if isinstance(value, torch.SymInt):  # of an exported graph for any size
        return value  # type: ignore[return-value]
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{argument}: expected an int, got {type(value).__name__}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{argument}: expected an int of 64 bits, got {short(number)}")
    return number


class Default(int):
    """A number that nobody said."""


def ignore_index(argument: str, value: Any) -> int | tuple[int, ...]:
    """A label, or several of them."""
    if isinstance(value, Default) or not isinstance(value, tuple | list):
        return value if isinstance(value, Default) else index(argument, value)
    if not value:
        raise ValueError(f"{argument}: got no label, expected one or several; -1 is one that no data set has")
    return tuple(index(argument, label) for label in value)


def labels_of(ignore_index: int | tuple[int, ...]) -> tuple[int, ...]:
    """As a tuple."""
    return ignore_index if isinstance(ignore_index, tuple) else (int(ignore_index),)


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def process_group(argument: str, group: Any) -> Any:
    if group is None or group == "world" or (dist.is_available() and isinstance(group, dist.ProcessGroup)):
        return group
    if dist.is_available() and group is dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError(f"{argument}: this process is not a member of the group")
    raise TypeError(f"{argument}: expected a torch.distributed.ProcessGroup, 'world' or None, got {group!r}")
