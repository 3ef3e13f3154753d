"""Training steps with batches of changing sizes, as torch.compile and the operators see them."""

import torch
from cases import LOSSES, PATHS, Loss, enlarged

CLASSES = 7
# Of a step: images, logits, labels. No size in common, as augmentation makes them; small, for the interpreter.
DENSE = [((2, 3, 5), (3, 5)), ((3, 4, 2), (4, 2)), ((4, 5, 7), (5, 7))]
RESIZED = [((2, 4, 3), (5, 6)), ((3, 4, 2), (3, 7)), ((4, 3, 5), (6, 4))]
# All losses on each path; one in the interpreter, which is slow and sees what the torch path's operators see.
INTERPRETED = ("triton", torch.device("cpu"))
EVERY = [(row.values[0], path.values[0]) for row in LOSSES for path in PATHS]
EVERY = [(loss, path) for loss, path in EVERY if path != INTERPRETED or loss == Loss("PATLoss")]


def batch(step, device, dtype=torch.float32):
    (images, *source), size = step
    logits, target = enlarged((images, CLASSES, *source), size, dtype)
    return logits.to(device).requires_grad_(), target.to(device)
