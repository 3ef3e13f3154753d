"""A data folder laid out as CamVid, small and random."""

import numpy as np
from PIL import Image


def camvid(root, splits=("train", "val"), size=(32, 48)):
    """Three images a split, 0.jpg to 2.jpg, their labels all of 0 to 11."""
    rng = np.random.default_rng(0)
    for split in splits:
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for i in range(3):
            image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / split / f"{i}.jpg")
            labels = rng.integers(0, 12, size, dtype=np.uint8)
            Image.fromarray(labels).save(root / f"{split}annot" / f"{i}.png")
    return root
