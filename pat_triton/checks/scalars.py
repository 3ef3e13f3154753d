"""Names, numbers, flags and objects that a constructor or a call is given."""

import operator
import sys
from collections.abc import Iterable
from numbers import Real
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


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
            f"{argument}: expected {expected}, got the class {value.__name__}; pass an instance, {value.__name__}(...)"
        )
    if not callable(value):
        hint = "; class weights go to weight=" if argument == "weights" else ""
        raise TypeError(f"{argument}: expected {expected}, got {short(value)}{hint}")
    if type(value).__module__ != module and type(value).__module__ in PARTS:
        raise TypeError(
            f"{argument}: expected {expected}, got {short(value)}; pass that as {PARTS[type(value).__module__]}="
        )
    return value


# The normal numbers of float32, in which losses of 16 and 32 bits are computed: a larger one would be inf there, and a
# smaller one, which divides, 0.
LARGEST, SMALLEST = torch.finfo(torch.float32).max, torch.finfo(torch.float32).tiny


def finite(argument: str, value: Any) -> float:
    """A number of any kind, Python's, NumPy's or a tensor without dimensions, as Python's float."""
    return float(_number(argument, value))


def positive(argument: str, value: Any) -> float:
    number = _number(argument, value)
    if number <= 0:
        raise ValueError(f"{argument}: expected a number above 0, got {number}")
    return away_from_0(argument, float(number))


def away_from_0(argument: str, number: float) -> float:
    """One to divide by."""
    if abs(number) < SMALLEST:
        raise ValueError(
            f"{argument}: expected a number whose absolute value is at least {SMALLEST:.1e}, below which float32 loses "
            f"digits, got {number:g}"
        )
    return number


def non_negative(argument: str, value: Any) -> float:
    number = _number(argument, value)
    if number < 0:
        raise ValueError(f"{argument}: expected 0 or more, got {number}")
    return float(number)


def _number(argument: str, value: Any) -> Any:
    """As it came, but for what has no dimensions, in place of which is the number in it."""
    number: Any = value
    if getattr(value, "ndim", None) == 0:
        if isinstance(value, Tensor):
            without_gradient(argument, value)
            if value.is_meta:
                raise ValueError(f"{argument}: expected a number, got a tensor on the device meta, which has none")
        number = value.item()
    if isinstance(number, bool) or not isinstance(number, Real):
        inside = "" if number is value else f" of {type(number).__name__}"
        raise TypeError(f"{argument}: expected a number, got {type(value).__name__}{_extent(value)}{inside}")
    size: Any = abs(number)
    if not size <= sys.float_info.max:
        raise ValueError(f"{argument}: expected a finite number, got {cut(str(number))}")
    if size > LARGEST:
        raise ValueError(
            f"{argument}: expected a number whose absolute value is at most {LARGEST:.1e}, the largest that float32 "
            f"holds, got {float(number):g}"
        )
    return number


def head_weight(argument: str, value: Any) -> float:
    """A number that is read at every call, for which nothing may wait."""
    if isinstance(value, Tensor) and value.device.type not in ("cpu", "meta"):
        raise ValueError(
            f"{argument}: got a tensor on {value.device}, expected numbers, or tensors on the CPU: reading it would "
            "make every call wait for the device"
        )
    without_gradient(argument, value, "each tensor in the list")
    return finite(argument, value)


def without_gradient(argument: str, value: Any, of: str = "") -> None:
    """ValueError for a tensor that would silently get no gradient. of: what to detach, if it is not the argument."""
    if isinstance(value, Tensor) and value.requires_grad:
        detached = f".detach() of {of}" if of else f"{argument}.detach()"
        raise ValueError(
            f"{argument}: got a tensor with requires_grad=True, expected one without: the loss gives it no gradient; "
            f"pass {detached}"
        )


def _extent(value: Any) -> str:
    shape = getattr(value, "shape", ())
    return f" of shape {tuple(shape)}" if shape else ""


def store(part: Any, **fields: Any) -> None:
    """In a frozen dataclass, as they were checked."""
    for name, value in fields.items():
        object.__setattr__(part, name, value)


def flag(argument: str, value: Any) -> bool:
    if getattr(value, "ndim", None) == 0 and not isinstance(value, Tensor):  # NumPy's
        value = value.item()
    if not isinstance(value, bool):
        raise TypeError(f"{argument}: expected True or False, got {value!r}")
    return value


def index(argument: str, value: Any) -> int:
    if isinstance(value, torch.SymInt):  # of an exported graph for any size
        return value  # type: ignore[return-value]
    if isinstance(value, Tensor) and value.is_meta:
        raise ValueError(f"{argument}: expected an int, got a tensor on the device meta, which has none")
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{argument}: expected an int, got {type(value).__name__}{_extent(value)}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{argument}: expected an int of 64 bits, got {short(number)}")
    return number


class Default(int):
    """A label to ignore that nobody said. labels: it alone, as an int, which torch 2.11 does not compile of another."""

    labels: tuple[int, ...]

    def __new__(cls, label: int) -> "Default":
        made = super().__new__(cls, label)
        made.labels = (label,)
        return made


def ignore_index(argument: str, value: Any) -> int | tuple[int, ...]:
    """A label, or several of them."""
    if value is None:
        raise TypeError(f"{argument}: expected an int or a list of ints, got None; pass -1 to ignore nothing")
    if isinstance(value, Default) or not isinstance(value, tuple | list):
        return value if isinstance(value, Default) else index(argument, value)
    if not value:
        raise ValueError(f"{argument}: expected an int or a list of ints, got {value!r}; pass -1 to ignore nothing")
    return tuple(index(argument, label) for label in value)


def labels_of(ignore_index: int | tuple[int, ...]) -> tuple[int, ...]:
    """As a tuple."""
    if isinstance(ignore_index, Default):
        return ignore_index.labels
    return ignore_index if isinstance(ignore_index, tuple) else (int(ignore_index),)


def as_written(labels: tuple[int, ...]) -> int | tuple[int, ...]:
    """As a user writes an ``ignore_index``."""
    return labels[0] if len(labels) == 1 else tuple(labels)


def plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def short(value: Any) -> str:
    return cut(repr(value))


def cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def process_group(argument: str, group: Any) -> Any:
    if group is None or group == "world" or (dist.is_available() and isinstance(group, dist.ProcessGroup)):
        return group
    if dist.is_available() and group is dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError(f"{argument}: this process is not a member of the group")
    raise TypeError(f"{argument}: expected a torch.distributed.ProcessGroup, 'world' or None, got {group!r}")
