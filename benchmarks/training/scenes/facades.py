"""What closes a street off at its sides and its end: houses, fences, hedges, the skyline."""

import numpy as np

from .canvas import Canvas, Colour
from .props import Class, shade

NEAR = 1.6  # metres; nothing is drawn closer
FAR = 140.0

WALLS: tuple[Colour, ...] = (
    (176, 150, 122), (150, 92, 74), (190, 182, 165), (128, 126, 122), (165, 138, 96), (110, 100, 96),
)  # fmt: skip


def frontage(canvas: Canvas, rng: np.random.Generator, x: float) -> None:
    """One side of the street, far to near: houses with fenced or planted gaps."""
    pieces = []
    z = NEAR
    while z < FAR - 10:
        length = rng.uniform(9, 22)
        pieces.append((z, min(z + length, FAR)))
        z += length
    dense = rng.uniform(0.45, 1.0)
    for start, end in reversed(pieces):
        if rng.random() < dense:
            _house(canvas, rng, x + np.sign(x) * rng.uniform(0, 2.5), start, end)
        elif rng.random() < 0.55:
            _fence(canvas, rng, x, start, end)
        else:
            _hedge(canvas, rng, x, start, end)


def skyline(canvas: Canvas, rng: np.random.Generator) -> None:
    """Distant houses and trees across the end of the street."""
    for x in range(-120, 120, 9):
        top = rng.uniform(4, 16)
        if rng.random() < 0.5:
            wall = rng.uniform(110, 170) + rng.uniform(-12, 12, 3)
            canvas.box((x, x + 11), (-1, top), FAR, tuple(wall), Class.BUILDING)
        else:
            canvas.disc((x, 1, FAR), 0.8 * top, (80, 105, 70), Class.VEGETATION)


def _house(canvas: Canvas, rng: np.random.Generator, x: float, start: float, end: float) -> None:
    """The wall along the street and the gable that faces the camera, with rows of windows."""
    floors, storey = rng.integers(2, 7), rng.uniform(2.8, 3.5)
    top, out = floors * storey, np.sign(x)
    wall = tuple(np.array(WALLS[rng.integers(len(WALLS))]) * rng.uniform(0.75, 1.15))
    glass = tuple(rng.uniform(35, 95) + np.array((0.0, 5.0, 12.0)))
    sunny = rng.uniform(0.65, 1.0)

    def along(z: tuple[float, float], y: tuple[float, float], colour: Colour) -> None:
        face = [(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])]
        canvas.face(face, colour, Class.BUILDING)

    canvas.box((x, x + out * 14), (0, top), start, shade(wall, 1.65 - sunny), Class.BUILDING)
    along((start, end), (0, top), shade(wall, sunny))
    if rng.random() < 0.5:
        along((start, end), (0, 0.75 * storey), shade(wall, 0.5 * sunny))
    bay = rng.uniform(2.2, 3.4)
    for floor in range(floors):
        y = (floor * storey + 0.9, floor * storey + 0.9 + 0.52 * storey)
        for z in np.arange(start + 0.7, end - 1.2, bay):
            along((z, z + 0.5 * bay), y, shade(glass, rng.uniform(0.6, 1.6)))
        for side in np.arange(1.0, 12.0, bay):
            pane = (x + out * side, x + out * (side + 0.5 * bay))
            canvas.box(pane, y, start, shade(glass, rng.uniform(0.6, 1.6)), Class.BUILDING)


def _fence(canvas: Canvas, rng: np.random.Generator, x: float, start: float, end: float) -> None:
    top, wood = rng.uniform(1.1, 2.0), shade((135, 112, 88), rng.uniform(0.6, 1.3))
    _hedge(canvas, rng, x + np.sign(x) * 3, start, end)
    canvas.face([(x, 0, start), (x, 0, end), (x, top, end), (x, top, start)], wood, Class.FENCE)
    for z in np.arange(start, end, 0.9):
        slat = [(x, 0, z), (x, 0, z + 0.25), (x, top, z + 0.25), (x, top, z)]
        canvas.face(slat, shade(wood, 0.7), Class.FENCE)


def _hedge(canvas: Canvas, rng: np.random.Generator, x: float, start: float, end: float) -> None:
    for z in np.arange(end, start + 1, -1.3):
        lit = rng.uniform(0.7, 1.2)
        at = (x + np.sign(x) * rng.uniform(1, 5), rng.uniform(0.3, 3.5), z)
        canvas.disc(at, rng.uniform(0.8, 2.0), shade((70, 98, 44), lit), Class.VEGETATION)
