"""A dataclass as JSON: written once, and read back only if every field is there and none besides."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .places import refuse_unusable

# Fields that older records do not have, and that say what was always so then.
NEW = {"load"}

T = TypeVar("T")


def add_save(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", type=Path, metavar="FILE", help="also write the figures as JSON; must not exist")


def refuse_taken(path: Path | None) -> None:
    """ValueError before the work that would end in a file that is there, or cannot be."""
    if path is None:
        return
    if path.exists():
        raise ValueError(f"--save: {path} exists, expected a new file")
    refuse_unusable("--save", path.parent)


def write(path: Path, record: Any) -> None:
    """A dataclass, to a file that must not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x") as file:
        file.write(_json(record))


def rewrite(path: Path, record: Any) -> None:
    """As ``write``, with more than the file there: whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(_json(record))
    new.replace(path)


def _json(record: Any) -> str:
    return json.dumps(asdict(record), indent=1, allow_nan=False) + "\n"


def read(path: Path, kind: type[T]) -> T:
    """ValueError that says what is wrong and where."""
    try:
        return _parse(kind, json.loads(path.read_text()), "")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) is UnionType:
        (some,) = (part for part in get_args(kind) if part is not NoneType)
        return None if value is None else _parse(some, value, where)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_parse(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if hasattr(kind, "__dataclass_fields__") and isinstance(value, dict):
        types = get_type_hints(kind)
        if not set(types) - NEW <= set(value) <= set(types):
            raise ValueError(f"{where or 'record'}: got fields {sorted(value)}, expected {sorted(types)}")
        return kind(**{name: _parse(types[name], item, f"{where}.{name}".lstrip(".")) for name, item in value.items()})
    plain = (int, float) if kind is float else get_origin(kind) or kind
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, plain):
        raise ValueError(f"{where or 'record'}: got {value!r}, expected {getattr(kind, '__name__', kind)}")
    return value
