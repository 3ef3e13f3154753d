"""Names and colours of the classes of each data set, and where its files lie."""

from dataclasses import dataclass

from .canvas import VOID
from .folders import Layout


@dataclass(frozen=True)
class Classes:
    """Names, and RGB colours for pictures, of classes 0 to L - 1."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]


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

CAMVID_LAYOUT = Layout(
    name="camvid",
    images="{split}",
    labels="{split}annot",
    image_end=".jpg",
    label_end=".png",
    ids={**{i: i for i in range(11)}, 11: VOID},
)

# The labelId of each class, in order.
_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_LAYOUT = Layout(
    name="cityscapes",
    images="leftImg8bit/{split}",
    labels="gtFine/{split}",
    image_end="_leftImg8bit.png",
    label_end="_gtFine_labelIds.png",
    # The ids run to 33; -1, the license plate, is 255 as a byte.
    ids={**dict.fromkeys((*range(34), 255), VOID), **{label: i for i, label in enumerate(_LABEL_IDS)}},
)

FOLDERS = {"camvid": (CAMVID_LAYOUT, CAMVID), "cityscapes": (CITYSCAPES_LAYOUT, CITYSCAPES)}
