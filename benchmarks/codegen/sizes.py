"""The sizes that kernels are bounded at: Cityscapes' images, and the classes of the usual data sets."""

IMAGES, HEIGHT, WIDTH = 8, 1024, 2048
RATIO = 4  # of the target's height and width to those of the logits that most heads predict
# Two, Cityscapes, Pascal VOC, NYUv2, ADE20K, COCO-Stuff, and the full ADE20K's.
CLASSES = (2, 19, 21, 40, 150, 171, 847)
DTYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "fp64": "float64"}
