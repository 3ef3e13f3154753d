"""What moves in a street: each drawn on a canvas at x metres to the right, z metres ahead."""

import numpy as np

from .canvas import Canvas, Colour
from .props import DARK, Class, shade

SKIN: Colour = (196, 150, 122)


def paint(rng: np.random.Generator) -> Colour:
    """The colour of a car: mostly grey, as they are."""
    if rng.random() < 0.6:
        return (float(rng.uniform(35, 225)),) * 3
    return tuple(rng.uniform(20, 190, 3))


def car(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A box with a cabin, seen along the street: its near end, and the side that faces the camera."""
    length, half, top = rng.uniform(3.8, 4.8), rng.uniform(0.82, 0.95), rng.uniform(1.4, 1.75)
    waist, floor, far = 0.6 * top, 0.22, z + length
    colour, glass = paint(rng), (48.0, 58.0, 68.0)
    side = x - np.sign(x) * half
    near = [(x - half - 0.15, 0, z - 0.2), (x + half + 0.15, 0, z - 0.2)]
    canvas.face([*near, (x + half + 0.3, 0, far), (x - half - 0.3, 0, far)], (10, 10, 12, 150))
    if abs(x) > half:
        flank = [(side, floor, z), (side, floor, far), (side, 0.9 * waist, far), (side, waist, z)]
        canvas.face(flank, shade(colour, 0.75), Class.CAR)
        inner = x - np.sign(x) * 0.8 * half
        cabin = [
            (side, waist, z + 0.2),
            (side, 0.9 * waist, far - 0.9),
            (inner, top, far - 1.9),
            (inner, top, z + 0.6),
        ]
        canvas.face(cabin, shade(glass, 0.9), Class.CAR)
        for axle in (z + 0.75, far - 0.8):
            angles = np.linspace(0, 2 * np.pi, 14)
            wheel = [(side, 0.32 + 0.32 * np.sin(a), axle + 0.32 * np.cos(a)) for a in angles]
            canvas.face(wheel, DARK, Class.CAR)
    for left in (x - half, x + half - 0.25):
        canvas.box((left, left + 0.25), (0, 0.4), z, DARK, Class.CAR)
    canvas.box((x - half, x + half), (floor, waist), z, colour, Class.CAR)
    roof = [
        (x - 0.92 * half, waist, z),
        (x + 0.92 * half, waist, z),
        (x + 0.72 * half, top, z + 0.4),
        (x - 0.72 * half, top, z + 0.4),
    ]
    canvas.face(roof, colour, Class.CAR)
    pane = [
        (x - 0.8 * half, waist + 0.04, z),
        (x + 0.8 * half, waist + 0.04, z),
        (x + 0.64 * half, top - 0.1, z + 0.4),
        (x - 0.64 * half, top - 0.1, z + 0.4),
    ]
    canvas.face(pane, glass, Class.CAR)
    lamp = (190, 25, 25) if x > -1.5 else (240, 240, 215)
    for left in (x - 0.95 * half, x + 0.95 * half - 0.3):
        canvas.box((left, left + 0.3), (0.6 * waist, 0.82 * waist), z, lamp, Class.CAR)
    canvas.box((x - 0.26, x + 0.26), (0.42, 0.54), z, (225, 225, 215), Class.CAR)


def person(canvas: Canvas, rng: np.random.Generator, x: float, z: float, label: int, foot: float) -> None:
    """Legs, torso, arms and head, the feet ``foot`` metres up."""
    tall = rng.uniform(1.5, 1.9) - 0.3 * (foot > 0)
    coat, trousers = rng.uniform(20, 220, 3), rng.uniform(20, 110, 3)
    stride, wide = rng.uniform(0.05, 0.3), rng.uniform(0.19, 0.27)
    hip, neck = foot + 0.48 * tall, foot + 0.85 * tall
    for step in (-stride, stride):
        leg = [(x - 0.1, hip, z), (x + 0.1, hip, z), (x + step + 0.08, foot, z), (x + step - 0.08, foot, z)]
        canvas.face(leg, tuple(trousers), label)
    torso = [
        (x - 0.8 * wide, hip - 0.1, z),
        (x + 0.8 * wide, hip - 0.1, z),
        (x + wide, neck, z),
        (x - wide, neck, z),
    ]
    canvas.face(torso, tuple(coat), label)
    for arm in (-wide, wide):
        canvas.box((x + arm - 0.06, x + arm + 0.06), (hip, neck - 0.05), z, shade(tuple(coat), 0.8), label)
    canvas.disc((x, neck + 0.13, z), 0.12, SKIN, label, 1.25)
    canvas.disc((x, neck + 0.21, z), 0.1, tuple(rng.uniform(15, 90, 3)), label, 0.8)


def pedestrian(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    canvas.disc((x + 0.1, 0.02, z), 0.4, (10, 10, 12, 110), flat=0.25)
    person(canvas, rng, x, z, Class.PEDESTRIAN, 0.0)


def cyclist(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Rider and bicycle at an angle; what is seen between the spokes counts as bicycle."""
    reach, colour = rng.uniform(0.2, 0.55), tuple(rng.uniform(20, 200, 3))
    canvas.disc((x, 0.02, z), 0.7, (10, 10, 12, 110), flat=0.2)
    for hub in (-reach, reach):
        canvas.disc((x + hub, 0.34, z), 0.34, DARK, Class.CYCLIST)
        canvas.disc((x + hub, 0.34, z), 0.26, (120, 120, 120), Class.CYCLIST)
    frame = [(x - reach, 0.3, z), (x + reach, 0.3, z), (x + 0.8 * reach, 0.95, z), (x - 0.4 * reach, 0.9, z)]
    canvas.face(frame, colour, Class.CYCLIST)
    person(canvas, rng, x, z, Class.CYCLIST, 0.3)
    canvas.disc((x, 1.75, z), 0.14, tuple(rng.uniform(40, 240, 3)), Class.CYCLIST, 0.7)
