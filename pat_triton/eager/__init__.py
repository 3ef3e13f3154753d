"""The torch backend: loss and gradient in closed form, in pixel chunks that stay in cache.

No autograd graph over the logits and no full-size temporary: beyond the gradient it holds a few
chunks. ``backend`` cuts the pixels into chunks; ``source`` is where a chunk's logits come from and its
gradient goes, dense or resized; ``chunk`` is the loss of one.
"""
