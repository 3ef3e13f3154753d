"""A pinhole camera over flat ground that paints an image and its label map at once.

Points are (x, y, z) in metres: right of the camera, up from the ground, ahead.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

VOID = 255
OVERSAMPLING = 2

Point = tuple[float, float, float]
Colour = tuple[float, ...]


class Canvas:
    """Painter's algorithm: what is drawn later covers what was drawn before.

    size: (height, width) of the finished picture; drawing is ``OVERSAMPLING`` times finer.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator, air: Colour) -> None:
        self.height, self.width = (OVERSAMPLING * extent for extent in size)
        self.focal = self.width * rng.uniform(0.66, 0.8)
        self.centre = self.width * rng.uniform(0.42, 0.58)
        self.horizon = self.height * rng.uniform(0.4, 0.48)
        self.eye = rng.uniform(1.3, 1.7)
        self.sight = rng.uniform(120, 400)
        self.air = np.array(air)
        self.image = Image.new("RGB", (self.width, self.height))
        self.labels = Image.new("L", (self.width, self.height), VOID)
        self._brush = ImageDraw.Draw(self.image, "RGBA")
        self._marker = ImageDraw.Draw(self.labels)

    def face(self, points: Sequence[Point], colour: Colour, label: int | None = None) -> None:
        """A filled polygon; a fourth colour component is its opacity, no label keeps those below it."""
        depth = sum(z for _, _, z in points) / len(points)
        self._fill([self._project(point) for point in points], self._haze(colour, depth), label)

    def box(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: float,
        colour: Colour,
        label: int | None = None,
    ) -> None:
        """An upright rectangle that faces the camera."""
        self.face([(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)], colour, label)

    def disc(self, at: Point, radius: float, colour: Colour, label: int | None = None, flat: float = 1.0) -> None:
        """A disc that faces the camera; ``flat`` is its height over its width."""
        (u, v), r = self._project(at), radius * self.focal / at[2]
        bounds = (u - r, v - r * flat, u + r, v + r * flat)
        self._brush.ellipse(bounds, fill=self._haze(colour, at[2]))
        if label is not None:
            self._marker.ellipse(bounds, fill=label)

    def background(self, colours: np.ndarray, label: int) -> None:
        """Paint everything: colours (height, 3), one a row of the drawing."""
        rows = np.broadcast_to(colours[:, None], (self.height, self.width, 3))
        self.image.paste(Image.fromarray(rows.clip(0, 255).astype(np.uint8)))
        self.labels.paste(label, (0, 0, self.width, self.height))

    def hood(self, colour: Colour, height: float) -> None:
        """The car the camera sits in, a share of the picture's height: void."""
        across = np.linspace(-0.05, 1.05, 24)
        rim = 1 - height * (1 - (2 * across - 1) ** 4)
        points = [(u * self.width, v * self.height) for u, v in zip(across, rim, strict=True)]
        points += [(1.05 * self.width, 1.1 * self.height), (-0.05 * self.width, 1.1 * self.height)]
        self._fill(points, tuple(int(c) for c in colour), VOID)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Image (height, width, 3) uint8 and labels (height, width) uint8 at the finished size.

        A pixel has the label that three of its four samples agree on, else none: it lies on a border.
        """
        size = (self.width // OVERSAMPLING, self.height // OVERSAMPLING)
        image = np.asarray(self.image.resize(size, Image.Resampling.BOX))
        fine = np.asarray(self.labels)
        samples = np.sort(np.stack([fine[i::2, j::2] for i in range(2) for j in range(2)]), axis=0)
        agree = (samples[1] == samples[2]) & ((samples[0] == samples[1]) | (samples[2] == samples[3]))
        return image, np.where(agree, samples[1], VOID).astype(np.uint8)

    def _project(self, point: Point) -> tuple[float, float]:
        x, y, z = point
        scale = self.focal / z
        return self.centre + scale * x, self.horizon + scale * (self.eye - y)

    def _haze(self, colour: Colour, depth: float) -> tuple[int, ...]:
        clear = np.exp(-depth / self.sight)
        seen = clear * np.array(colour[:3]) + (1 - clear) * self.air
        return (*(int(c) for c in seen.clip(0, 255)), *(int(c) for c in colour[3:]))

    def _fill(self, points: list[tuple[float, float]], colour: tuple[int, ...], label: int | None) -> None:
        self._brush.polygon(points, fill=colour)
        if label is not None:
            self._marker.polygon(points, fill=label)
