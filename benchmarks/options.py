"""Kinds of numbers on the command line, of all jobs."""

import argparse
import math
from typing import Any


def rate(text: str) -> float:
    return _number(text, "a number above 0", lambda value: 0 < value < math.inf)


def share(text: str) -> float:
    return _number(text, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def positive(text: str) -> int:
    return natural(text, 1)


def natural(text: str, least: int = 0) -> int:
    if not text.isdecimal() or not least <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from {least}")
    return int(text)


def _number(text: str, expected: str, allowed: Any) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {expected}")
    return value
