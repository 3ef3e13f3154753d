"""Street scenes drawn from a seed: a long tail of classes without a download."""

import numpy as np
from PIL import Image

from .canvas import VOID, Canvas
from .facades import FAR, NEAR, frontage, skyline
from .props import Class, Prop, lamp, light, shade, sign, tree
from .traffic import car, cyclist, pedestrian

# Strength of the texture of the classes that have one, in grey levels.
TEXTURE = {Class.ROAD: 5, Class.BUILDING: 6, Class.VEGETATION: 20, Class.SIDEWALK: 7, Class.FENCE: 8}

Things = list[tuple[float, float, Prop]]


def scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8 and its labels (H, W) uint8, ``VOID`` where nothing is labelled."""
    air = np.array((200.0, 208.0, 215.0)) * rng.uniform(0.8, 1.1)
    canvas = Canvas(size, rng, tuple(air))
    left, right, walk = -rng.uniform(4.5, 7.5), rng.uniform(2.2, 4.5), rng.uniform(2.0, 3.5)
    _sky(canvas, rng, air)
    skyline(canvas, rng)
    _ground(canvas, rng, left, right, walk)
    for x in (left - walk, right + walk):
        frontage(canvas, rng, x)
    for z, x, draw in sorted(_things(rng, left, right, walk), key=lambda thing: -thing[0]):
        draw(canvas, rng, x, z)
    canvas.hood(shade((70, 72, 80), rng.uniform(0.4, 1.4)), rng.uniform(0.03, 0.09))
    image, labels = canvas.finish()
    return _exposure(rng, image, labels), labels


def _sky(canvas: Canvas, rng: np.random.Generator, air: np.ndarray) -> None:
    zenith = np.array((95.0, 140.0, 200.0)) if rng.random() < 0.6 else np.array((150.0, 160.0, 172.0))
    down = np.linspace(0, canvas.height / canvas.horizon, canvas.height)[:, None].clip(0, 1)
    canvas.background(zenith + (air - zenith) * down, Class.SKY)
    for _ in range(rng.integers(0, 14)):
        at = (rng.uniform(-90, 90), rng.uniform(15, 75), FAR)
        canvas.disc(at, rng.uniform(5, 22), (245, 245, 248, 70), flat=rng.uniform(0.2, 0.5))


def _ground(canvas: Canvas, rng: np.random.Generator, left: float, right: float, walk: float) -> None:
    """Grass, road, lane markings, kerbs and sidewalks."""
    asphalt = rng.uniform(75, 115)
    paving = asphalt + rng.uniform(8, 45)
    stone = (paving, 0.97 * paving, 0.92 * paving)

    def strip(x: tuple[float, float], z: tuple[float, float], colour: tuple[float, ...], label: Class) -> None:
        canvas.face([(x[0], 0, z[0]), (x[1], 0, z[0]), (x[1], 0, z[1]), (x[0], 0, z[1])], colour, label)

    # In lengths, as haze is one value a face.
    edges = np.geomspace(NEAR, FAR, 12)
    for z in zip(edges[-2::-1], edges[:0:-1], strict=True):
        strip((-150, 150), z, (85, 105, 60), Class.VEGETATION)
        strip((left - walk, right + walk), z, stone, Class.SIDEWALK)
        strip((left, right), z, (asphalt, asphalt, 1.03 * asphalt), Class.ROAD)
        for x in ((left - 0.15, left), (right, right + 0.15)):
            strip(x, z, shade(stone, 1.2), Class.SIDEWALK)
    middle, start = left + 0.5 * (right - left), rng.uniform(0, 6)
    for z0 in np.arange(NEAR + start, 70, 6):
        strip((middle - 0.07, middle + 0.07), (z0, z0 + 3), (205, 205, 200), Class.ROAD)
    if rng.random() < 0.3:
        crossing = rng.uniform(7, 18)
        for x0 in np.arange(left + 0.3, right - 0.5, 1.0):
            strip((x0, x0 + 0.5), (crossing, crossing + 3), (205, 205, 200), Class.ROAD)


def _things(rng: np.random.Generator, left: float, right: float, walk: float) -> Things:
    """(z, x, what) of everything that stands or moves."""
    things: Things = []

    def line(draw: Prop, x: float, gap: tuple[float, float], share: float, first: float = 5.0) -> None:
        """Along the street at x, one every gap metres, of which a share is there."""
        z = first + rng.uniform(0, gap[1])
        while z < 75:
            if rng.random() < share:
                things.append((z, x + rng.uniform(-0.25, 0.25), draw))
            z += rng.uniform(*gap)

    for kerb, out in ((left, -1.0), (right, 1.0)):
        line(car, kerb - out * 1.1, (5.5, 8), rng.choice([0.0, 0.2, 0.65]), 6.0)
        line(tree, kerb + out * 0.8 * walk, (9, 14), rng.choice([0.0, 0.5, 0.9]), 7.0)
        line(lamp, kerb + out * 0.5, (20, 30), 0.8)
        line(sign, kerb + out * 0.55, (16, 34), 0.75)
        line(light, kerb + out * 0.45, (24, 45), 0.6)
        for _ in range(rng.poisson(1.8)):
            things.append((rng.uniform(6, 32), kerb + out * rng.uniform(0.3, walk - 0.2), pedestrian))
    if rng.random() < 0.25:
        things.append((rng.uniform(8, 25), rng.uniform(left, right), pedestrian))
    line(car, right - 3.6 if right > 4 else 0.0, (14, 30), 0.5, 9.0)
    line(car, left + 3.2, (14, 40), 0.5, 12.0)
    for _ in range(rng.poisson(0.45)):
        things.append((rng.uniform(6, 24), rng.choice([left + 2.4, right - 0.7]), cyclist))
    return things


def _exposure(rng: np.random.Generator, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Texture by class, patches of shade, exposure, tint and sensor noise."""
    strength = np.zeros(VOID + 1)
    strength[list(TEXTURE)] = list(TEXTURE.values())
    grain = sum(_blotches(rng, labels.shape, pixels) for pixels in (1, 2, 5)) * strength[labels]
    light = 1 + 0.09 * _blotches(rng, labels.shape, 24)
    seen = (image + grain[..., None]) * light[..., None]
    seen = seen * rng.uniform(0.75, 1.2) * rng.uniform(0.93, 1.07, 3) + rng.normal(0, 4, image.shape)
    return seen.clip(0, 255).astype(np.uint8)


def _blotches(rng: np.random.Generator, shape: tuple[int, ...], pixels: int) -> np.ndarray:
    """Smooth noise (H, W) of about unit variance, in blotches some pixels wide."""
    height, width = shape
    small = rng.normal(0, 1, (height // pixels + 2, width // pixels + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
