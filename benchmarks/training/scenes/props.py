"""What stands in a street: each drawn on a canvas at x metres to the right, z metres ahead."""

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from .canvas import Canvas, Colour


class Class(IntEnum):
    """Label of each class; all else is void."""

    ROAD = 0
    SKY = 1
    BUILDING = 2
    VEGETATION = 3
    SIDEWALK = 4
    CAR = 5
    FENCE = 6
    POLE = 7
    SIGN = 8
    LIGHT = 9
    PEDESTRIAN = 10
    CYCLIST = 11


Prop = Callable[[Canvas, np.random.Generator, float, float], None]

METAL: Colour = (105, 108, 108)
DARK: Colour = (28, 29, 33)


def shade(colour: Colour, factor: float) -> Colour:
    return tuple(factor * c for c in colour)


def tree(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    tall, spread = rng.uniform(4.5, 9), rng.uniform(1.1, 2.3)
    leaf = np.array((rng.uniform(45, 120), rng.uniform(75, 125), rng.uniform(25, 50)))
    canvas.disc((x, 0.01, z), spread, (10, 14, 10, 90), flat=0.15)
    canvas.box((x - 0.16, x + 0.16), (0, 0.6 * tall), z, (78, 62, 48), Class.VEGETATION)
    for _ in range(26):
        dx, dy = rng.normal(0, 0.45, 2) * spread
        lit = 0.85 + 0.25 * np.tanh(dy) + rng.uniform(-0.2, 0.2)
        at = (x + dx, 0.75 * tall + 1.2 * dy, z)
        canvas.disc(at, rng.uniform(0.25, 0.5) * spread, tuple(lit * leaf), Class.VEGETATION)


def lamp(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A street lamp whose arm reaches over the road."""
    tall, arm = rng.uniform(6, 8), x - np.sign(x) * 1.8
    pole(canvas, x, z, tall)
    canvas.box((min(x, arm), max(x, arm)), (tall - 0.12, tall), z, METAL, Class.POLE)
    canvas.box((arm - 0.3, arm + 0.3), (tall - 0.2, tall), z, (200, 200, 190), Class.POLE)


def sign(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A traffic sign: prohibition, warning, direction or a yellow square."""
    high, r = rng.uniform(2.2, 2.9), rng.uniform(0.36, 0.5)
    pole(canvas, x, z, high)
    red, white = (190, 30, 35), (235, 235, 230)
    kind = rng.integers(4)
    if kind == 0:
        canvas.disc((x, high, z), r, red, Class.SIGN)
        canvas.disc((x, high, z), 0.7 * r, white, Class.SIGN)
    elif kind == 1:
        for size, colour in ((1.15 * r, red), (0.7 * r, white)):
            corners = [
                (x - size, high - 0.58 * size, z),
                (x + size, high - 0.58 * size, z),
                (x, high + 1.15 * size, z),
            ]
            canvas.face(corners, colour, Class.SIGN)
    else:
        colour = (35, 80, 170) if kind == 2 else (225, 185, 40)
        canvas.box((x - r, x + r), (high - r, high + r), z, white, Class.SIGN)
        canvas.box((x - 0.85 * r, x + 0.85 * r), (high - 0.85 * r, high + 0.85 * r), z, colour, Class.SIGN)


def light(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A traffic light with one of its lamps lit."""
    foot, lit = rng.uniform(2.3, 2.8), rng.integers(3)
    pole(canvas, x, z, foot + 0.2)
    canvas.box((x - 0.22, x + 0.22), (foot, foot + 1.1), z, DARK, Class.LIGHT)
    for row, colour in enumerate(((60, 225, 130), (245, 190, 50), (240, 45, 40))):
        seen = colour if row == lit else shade(colour, 0.25)
        canvas.disc((x, foot + 0.2 + 0.35 * row, z), 0.14, seen, Class.LIGHT)


def pole(canvas: Canvas, x: float, z: float, tall: float) -> None:
    canvas.box((x - 0.09, x + 0.09), (0, tall), z, METAL, Class.POLE)
