"""Arguments checked where they enter; every message names the argument, what came, what was expected."""

import operator
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

LOGITS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LABELS = (torch.uint8, torch.int16, torch.int32, torch.int64)


def _dtypes(dtypes: Iterable[torch.dtype]) -> str:
    *most, last = (str(d).removeprefix("torch.") for d in dtypes)
    return f"{', '.join(most)} or {last}"


def known(argument: str, value: Any, names: Iterable[str]) -> str:
    """``value``, if it is one of ``names``."""
    names = list(names)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{argument}: got {value!r}, known: {', '.join(map(repr, names))}")
    return value


def part(argument: str, value: Any, expected: str) -> None:
    """One of the three parts of a loss that is a callable."""
    if isinstance(value, type):
        raise TypeError(
            f"{argument}: expected {expected}, got the class {value.__name__}; {value.__name__}(...) makes one"
        )
    if not callable(value):
        raise TypeError(f"{argument}: expected {expected}, got {value!r}")


def finite(argument: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = "; .item() makes a Python number of it" if hasattr(value, "item") else ""
        raise TypeError(f"{argument}: expected a number, got {type(value).__name__}{hint}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{argument}: expected a finite number, got {_short(value)}")
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
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{argument}: expected an int, got {type(value).__name__}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{argument}: expected an int of 64 bits, got {_short(number)}")
    return number


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def process_group(group: Any) -> Any:
    if group is None or group == "world" or (dist.is_available() and isinstance(group, dist.ProcessGroup)):
        return group
    raise TypeError(f"process_group: expected a torch.distributed.ProcessGroup, 'world' or None, got {group!r}")


def vector(argument: str, values: Sequence[float] | Tensor | Any) -> Tensor:
    """A one-dimensional float64 tensor of finite numbers >= 0; detached copy of what came."""
    if isinstance(values, Tensor):
        tensor(argument, values)
    try:
        # A list would be rounded to torch's default dtype.
        given = torch.as_tensor(values, dtype=None if hasattr(values, "dtype") else torch.float64).detach()
        if given.is_complex():
            raise TypeError("complex numbers have no order")
        v = given.to(torch.float64, copy=True)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{argument}: expected a list, array or tensor of numbers, got {_short(values)}") from error
    if v.is_meta:
        raise ValueError(f"{argument}: expected numbers, got a tensor on meta, which has none")
    if v.ndim != 1 or len(v) < 2:
        raise ValueError(f"{argument}: expected one number a class, shape (L,), got shape {tuple(v.shape)}")
    if not bool(torch.isfinite(v).all()):
        raise ValueError(f"{argument}: expected finite numbers, got {v.tolist()}")
    if bool((v < 0).any()):
        raise ValueError(f"{argument}: expected numbers of 0 or more, got {v.min().item():g}")
    return v


def weights(argument: str, values: Any) -> Tensor:
    """Class weights as a floating tensor keeps them, otherwise in torch's default dtype."""
    v = vector(argument, values)
    given = isinstance(values, Tensor) and values.is_floating_point()
    kept = v.to(values.dtype if given else torch.get_default_dtype())
    if not bool(kept.double().isfinite().all()):
        raise ValueError(f"{argument}: expected numbers that {_name(kept)} holds, got {v.max().item():g}")
    if not bool(v.any()):
        raise ValueError(f"{argument}: every weight is 0")
    return kept


def counts(argument: str, values: Any) -> Tensor:
    """Pixels per class as int64; refuses frequencies."""
    v = vector(argument, values)
    if bool(((v > 0) & (v < 1)).any()):
        raise ValueError(f"{argument}: expected pixel counts, got {v.tolist()}: frequencies, not counts")
    if bool((v != v.floor()).any()):
        raise ValueError(f"{argument}: expected whole numbers of pixels, got {v.tolist()}")
    if not bool(v.any()):
        raise ValueError(f"{argument}: every count is 0")
    if bool((v >= 2**63).any()):
        raise ValueError(f"{argument}: expected counts below 2 ** 63, got {v.max().item():g}")
    # Through the caller's own integers: float64 would round counts above 2 ** 53.
    exact = torch.as_tensor(values).detach()
    return (v if exact.is_floating_point() else exact).to(torch.int64, copy=True)


def tensor(argument: str, value: Any) -> None:
    """A torch.Tensor with a place in memory for every element."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{argument}: expected a torch.Tensor, got {type(value).__name__}{_entry(value)}")
    if value.is_nested:
        raise TypeError(f"{argument}: expected a dense tensor, got a nested one; to_padded_tensor makes one")
    if value.layout != torch.strided:
        layout = str(value.layout).removeprefix("torch.").lstrip("_")
        raise TypeError(f"{argument}: expected a dense tensor, got {layout}; to_dense makes one")


def _entry(value: Any) -> str:
    """The likely mistake where something around a tensor came."""
    if hasattr(value, "__array__"):
        return "; torch.as_tensor makes one of it"
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return "; pass a tensor of those in it" if any(isinstance(v, Tensor) for v in inside) else ""


def logits(z: Any) -> None:
    tensor("logits", z)
    if z.dtype not in LOGITS:
        raise TypeError(f"logits: expected {_dtypes(LOGITS)}, got {_name(z)}")
    if not 3 <= z.ndim <= 5:
        raise ValueError(
            f"logits: expected (B, L, *spatial) with one to three spatial dimensions, got shape {tuple(z.shape)}"
        )
    if z.shape[1] < 2:
        raise ValueError(f"logits: expected at least 2 classes in dimension 1, got shape {tuple(z.shape)}")


def _name(t: Tensor) -> str:
    return str(t.dtype).removeprefix("torch.")


def target(y: Any, z: Tensor) -> Tensor:
    """The target as (B, *spatial), a view; ``z`` are checked logits, which may be of another 2-D size."""
    tensor("target", y)
    if y.ndim == z.ndim and y.shape[:2] == z.shape[:2]:
        raise ValueError(
            f"target: expected class indices, got shape {tuple(y.shape)}, a channel for each class; "
            "a one-hot target becomes indices by target.argmax(1)"
        )
    if y.dtype not in LABELS:
        raise TypeError(
            f"target: expected {_dtypes(LABELS)} class indices, got {_name(y)}; "
            "a map of whole numbers becomes indices by target.long()"
        )
    if y.ndim == z.ndim and y.shape[1] == 1:
        y = y.squeeze(1)
    expected, got = (z.shape[0], *z.shape[2:]), tuple(y.shape)
    if got != expected and (wrong := _mismatch(got, tuple(z.shape))) is not None:
        pixels = "H, W" if z.ndim == 4 else ", ".join(map(str, z.shape[2:]))
        raise ValueError(
            f"target: expected shape ({len(z)}, {pixels}) or ({len(z)}, 1, {pixels}) for logits of shape "
            f"{tuple(z.shape)}, got {got}{wrong}"
        )
    if y.device != z.device:
        raise ValueError(f"target: expected on {z.device} like the logits, got {y.device}")
    return y


def _mismatch(got: tuple[int, ...], logits: tuple[int, ...]) -> str | None:
    """What is wrong with a target's shape; None if the logits can be resized to it."""
    expected = (logits[0], *logits[2:])
    if got == logits[1:]:
        return ": is there no batch? pass logits[None] and target[None]"
    if len(got) != len(expected):
        return ": do labels have a dimension of 1 at their end?" if got == (*expected, 1) else ""
    if got[0] != expected[0]:
        return ": another batch size"
    if len(got) != 3:
        return ": only logits (B, L, h, w) are resized to their target's size"
    if 0 in expected[1:]:
        return ": there are no logits to resize"
    if got[1:] == expected[:0:-1]:
        return ": is the target transposed?"
    if got == logits[:-1] and got[1] * logits[3] != got[2] * logits[2]:
        return ": are the classes last? pass logits.movedim(-1, 1)"
    return None


def size(value: Any, z: Tensor) -> torch.Size:
    """(H, W), or the spatial size of other checked logits, which are not resized."""
    spatial = tuple(z.shape[2:])
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != len(spatial):
        pixels = "(height, width) such as target.shape[-2:]"
        what = pixels if len(spatial) == 2 else f"{spatial}, the size of the logits"
        raise TypeError(f"size: expected {what}, got {value!r}")
    wanted = tuple(index("size", v) for v in value)
    if wanted != spatial:
        if len(spatial) != 2:
            raise ValueError(f"size: expected {spatial}, got {wanted}: only logits (B, L, h, w) are resized")
        if min(wanted) < 1:
            raise ValueError(f"size: expected a height and a width above 0, got {wanted}")
        if 0 in spatial:
            raise ValueError(f"size: got {wanted} for logits of shape {tuple(z.shape)}: there are none to resize")
    return torch.Size(wanted)


def classes(num_classes: Any, z: Tensor) -> int:
    if index("num_classes", num_classes) != z.shape[1]:
        raise ValueError(
            f"num_classes: expected {z.shape[1]}, one for each channel of logits of shape {tuple(z.shape)}, "
            f"got {num_classes}"
        )
    return int(num_classes)


def confusion(argument: str, matrix: Any) -> Tensor:
    if not isinstance(matrix, Tensor):
        raise TypeError(
            f"{argument}: expected a confusion matrix or Statistics, got {type(matrix).__name__}{_entry(matrix)}"
        )
    tensor(argument, matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{argument}: expected a confusion matrix (L, L), got shape {tuple(matrix.shape)}")
    return matrix


def ignored(ignore_index: int, classes: int) -> None:
    if 0 <= ignore_index < classes:
        raise ValueError(
            f"ignore_index: {ignore_index} is one of the {classes} classes; choose a value that is none, such as -1"
        )


def per_class(argument: str, table: Tensor | None, z: Tensor) -> None:
    """An [L] buffer against the logits it is used with."""
    if table is None:
        return
    if len(table) != z.shape[1]:
        raise ValueError(
            f"{argument}: expected {z.shape[1]} numbers, one for each class of logits of shape "
            f"{tuple(z.shape)}, got {len(table)}"
        )
    if table.device != z.device:
        raise ValueError(
            f"{argument}: is on {table.device}, the logits on {z.device}; "
            "move the loss with criterion.to(logits.device)"
        )


def heads(logits: Any, weights: Any) -> tuple[list[Any], list[float]]:
    """Logits, one or several of one batch, and a weight for each."""
    if not isinstance(logits, list | tuple):
        if weights is not None:
            raise TypeError(f"weights: expected a list of logits to weigh, got logits of {type(logits).__name__}")
        return [logits], [1.0]
    if not logits:
        raise ValueError("logits: got an empty list, expected one tensor or several")
    if weights is None:
        return list(logits), [1.0] * len(logits)
    if not isinstance(weights, list | tuple) or len(weights) != len(logits):
        raise ValueError(f"weights: expected {len(logits)} numbers, one for each of the logits, got {weights!r}")
    return list(logits), [finite("weights", w) for w in weights]


def alike(head: Tensor, first: Tensor) -> None:
    """Auxiliary logits, checked by themselves, against the first of their list."""
    if head.shape[1] != first.shape[1]:
        raise ValueError(f"logits: expected {first.shape[1]} classes in each of the list, got {head.shape[1]}")


def mask_sizes(sizes: Any, z: Tensor) -> None:
    if sizes is None:
        return
    if not isinstance(sizes, Tensor) or sizes.dtype not in LABELS:
        got = _name(sizes) if isinstance(sizes, Tensor) else type(sizes).__name__
        raise TypeError(f"mask_sizes: expected a tensor of {_dtypes(LABELS)} numbers of pixels, got {got}")
    if sizes.shape != z.shape[:2]:
        raise ValueError(
            f"mask_sizes: expected shape {tuple(z.shape[:2])}, a number for each image and class, "
            f"got {tuple(sizes.shape)}"
        )
    if sizes.device != z.device:
        raise ValueError(f"mask_sizes: expected on {z.device} like the logits, got {sizes.device}")


def large_enough(mask_sizes: Tensor, sizes: Tensor) -> None:
    """Given mask sizes against the pixels that there are, both (B, L)."""
    wrong = (mask_sizes < sizes).nonzero()
    if len(wrong):
        b, c = wrong[0].tolist()
        raise ValueError(
            f"mask_sizes: got {int(mask_sizes[b, c])} pixels of class {c} in image {b}, whose target has "
            f"{int(sizes[b, c])}; expected those of the whole image that it is a part of"
        )


# Where looking at the labels costs no synchronisation with the host.
CHECKED_DEVICES = ("cpu",)


def looks_at_labels(device: torch.device, validate: bool = False) -> bool:
    """Whether wrong labels are named; else they make the result nan."""
    return device.type in CHECKED_DEVICES or validate or os.environ.get("PAT_TRITON_VALIDATE") == "1"


def spoil(counts: Tensor, wrong: Tensor) -> Tensor:
    """Counts made negative where ``wrong``, and with them their sums of up to 10 ** 13 pixels."""
    return counts - wrong * (1 << 44)


def labels(histogram: Tensor, y: Tensor, ignore_index: int) -> None:
    """A target by its histogram (B, L + 1)."""
    if bool(histogram[:, -1].any()):
        raise wrong_labels(y, histogram.shape[1] - 1, ignore_index)


def counted(confusion: Tensor, y: Tensor, ignore_index: int) -> None:
    """A target by its counts (L + 2, L), the last row of which is of labels that are neither a class nor ignored."""
    if bool(confusion[-1].any()):
        raise wrong_labels(y, confusion.shape[1], ignore_index)


def wrong_labels(y: Tensor, classes: int, ignore_index: int) -> ValueError:
    """The error for a target known to hold labels that are neither a class nor ignored."""
    y = y.to(torch.int64)
    values, numbers = y[((y < 0) | (y >= classes)) & (y != ignore_index)].unique(return_counts=True)
    found = list(zip(values.tolist(), numbers.tolist(), strict=True))
    listed = ", ".join(f"{value} ({number} pixels)" for value, number in found[:5])
    more = f" and {len(found) - 5} other values" if len(found) > 5 else ""
    return ValueError(
        f"target: {int(numbers.sum())} labels are neither a class 0..{classes - 1} nor "
        f"ignore_index={ignore_index}: {listed}{more}; {_likely(values.tolist(), classes)}"
    )


def _likely(values: list[int], classes: int) -> str:
    if values in ([-100], [-1], [255]):
        return f"to ignore these pixels pass ignore_index={values[0]}"
    if values == [classes]:
        return f"labels that count from 1 need target - 1; if {classes} means unlabelled pass ignore_index={classes}"
    return f"map the data set's ids to 0..{classes - 1} first, or give the logits more channels"
