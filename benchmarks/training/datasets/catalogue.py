"""The data sets: names and colours of their classes, where their files lie, and what they are trained with."""

import colorsys
from dataclasses import dataclass
from pathlib import Path

from ..scenes.canvas import VOID
from .layout import Layout
from .listing import lines_of


@dataclass(frozen=True)
class Classes:
    """Names, and RGB colours for pictures, of classes 0 to L - 1."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class DataSet:
    """layout: None where scenes are drawn. size (height, width), steps and batch: unless told otherwise."""

    classes: Classes
    layout: Layout | None
    size: tuple[int, int]
    steps: int
    batch: int


def coloured(names: tuple[str, ...]) -> Classes:
    """With colours as far apart as their number allows."""
    turns = ((0.618 * i % 1, 0.55 + 0.15 * (i % 4), 0.95 - 0.18 * (i % 3)) for i in range(len(names)))
    return Classes(names, tuple(tuple(round(255 * part) for part in colorsys.hsv_to_rgb(*turn)) for turn in turns))  # type: ignore[misc]


SCENES = Classes(
    (
        "road", "sky", "building", "vegetation", "sidewalk", "car",
        "fence", "pole", "traffic sign", "traffic light", "pedestrian", "cyclist",
    ),
    (
        (128, 64, 128), (70, 130, 180), (70, 70, 70), (107, 142, 35), (244, 35, 232), (0, 0, 142),
        (190, 153, 153), (153, 153, 153), (220, 220, 0), (250, 170, 30), (220, 20, 60), (119, 200, 200),
    ),
)  # fmt: skip

CAMVID = Classes(
    (
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign symbol", "fence", "car", "pedestrian", "bicyclist",
    ),
    (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip

CITYSCAPES = Classes(
    (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
        "motorcycle", "bicycle",
    ),
    (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
        (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip

# mmsegmentation and ESANet bring the 40 classes of Gupta et al. 2013.
NYU = coloured(
    (
        "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
        "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat",
        "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box",
        "whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag",
        "other structure", "other furniture", "other prop",
    )
)  # fmt: skip

PET = Classes(("pet", "background", "border"), ((220, 90, 40), (70, 110, 150), (240, 220, 80)))

# The labelId of each class, in order.
_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def after_zero(classes: int) -> dict[int, int]:
    """Labels from 1; 0 is nothing."""
    return {0: VOID, **{i + 1: i for i in range(classes)}}


# As the SegNet tutorial has it.
CAMVID_LAYOUT = Layout(
    name="camvid",
    images="{split}",
    labels="{split}annot",
    image_ends=(".jpg", ".png"),
    label_end=".png",
    ids={**{i: i for i in range(11)}, 11: VOID},
)
CITYSCAPES_LAYOUT = Layout(
    name="cityscapes",
    images="leftImg8bit/{split}",
    labels="gtFine/{split}",
    image_ends=("_leftImg8bit.png",),
    label_end="_gtFine_labelIds.png",
    # The ids run to 33; -1, the license plate, is 255 as a byte.
    ids={**dict.fromkeys((*range(34), 255), VOID), **{label: i for i, label in enumerate(_LABEL_IDS)}},
    splits={"train": "train", "val": "val"},  # its test labels are not public
    # createTrainIdLabelImgs.py of cityscapesScripts writes the classes themselves.
    preferred={"_gtFine_labelTrainIds": {**{i: i for i in range(19)}, VOID: VOID}},
)
# As ESANet (Seichter et al. 2021) writes it: 795 and 654 images.
NYU_LAYOUT = Layout(
    name="nyu",
    images="{split}/rgb",
    labels="{split}/labels_40",
    image_ends=(".png", ".jpg"),
    label_end=".png",
    ids=after_zero(40),
    splits={"train": "train", "val": "test"},
)
PET_LAYOUT = Layout(
    name="pet",
    images="images",
    labels="annotations/trimaps",
    image_ends=(".jpg",),
    label_end=".png",
    ids={1: 0, 2: 1, 3: 2},
    splits={"train": "trainval", "val": "test"},
    listing="annotations/{split}.txt",
)


def ade20k_layout(classes: int) -> Layout:
    return Layout(
        name="ade20k",
        images="images/{split}",
        labels="annotations/{split}",
        image_ends=(".jpg", ".png"),
        label_end=".png",
        ids=after_zero(classes),
        splits={"train": "training", "val": "validation"},
        complete=False,
        flexible=True,
    )


SETS = {
    "scenes": DataSet(SCENES, None, (256, 512), 500, 2),
    "camvid": DataSet(CAMVID, CAMVID_LAYOUT, (240, 320), 1000, 4),
    "cityscapes": DataSet(CITYSCAPES, CITYSCAPES_LAYOUT, (512, 1024), 40000, 8),
    "nyu": DataSet(NYU, NYU_LAYOUT, (480, 640), 20000, 8),
    "pet": DataSet(PET, PET_LAYOUT, (256, 256), 5000, 16),
    # Any folder laid out as ADE20K's challenge data.
    "ade20k": DataSet(coloured(tuple(f"class {i}" for i in range(1, 151))), ade20k_layout(150), (512, 512), 40000, 8),
    # Any folder at all, whose classes and layout ``choose`` makes.
    "folder": DataSet(Classes((), ()), None, (512, 512), 40000, 8),
}


def published(name: str, root: Path | None, classes: int | None) -> DataSet:
    """The data set of that name; classes: of an ADE20K-style folder, when they are not 150."""
    found = SETS[name]
    if name != "ade20k":
        if classes is not None:
            raise ValueError(f"--classes: got {classes}, expected none: {name} has {len(found.classes.names)}")
        return found
    layout = ade20k_layout(classes or 150)
    names = tuple(f"class {i}" for i in range(1, len(layout.ids)))
    listed = root / "objectInfo150.txt" if root else None
    if listed and listed.is_file() and classes is None:
        # Number, share, training images, validation images, names with their synonyms.
        rows = [line.split("\t") for line in lines_of(listed)[1:]]
        if len(rows) != len(names) or any(len(row) != 5 for row in rows):
            raise ValueError(f"{listed}: expected a heading and {len(names)} lines of five columns, got others")
        names = tuple(row[4].split(",")[0].strip() for row in rows)
    return DataSet(coloured(names), layout, found.size, found.steps, found.batch)
