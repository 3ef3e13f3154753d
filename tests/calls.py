"""A call of a loss on the kernels' device, with a backward."""

import torch
from cases import GPU, enlarged, example

TRITON = ("triton", GPU)


def tensors(kind, dtype=torch.float32):
    """Logits of a kind and their target, on the kernels' device."""
    made = example((2, 7, 4, 5), dtype) if kind == "dense" else enlarged((2, 7, 3, 4), (6, 7), dtype)
    return [t.to(GPU) for t in made]


def step(criterion, logits, target, **options):
    heads = [z.detach().clone().requires_grad_() for z in (logits if isinstance(logits, list) else [logits])]
    torch.manual_seed(0)
    value = criterion(heads if isinstance(logits, list) else heads[0], target, **options)
    value.backward()
    return value.detach(), *(z.grad for z in heads)
