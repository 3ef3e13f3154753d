"""The torch backend: loss and gradient in closed form, in pixel chunks that stay in cache.

No autograd graph over the logits and no full-size temporary: beyond the gradient it holds a few chunks for each thread.
``backend`` cuts the pixels into ``slices``; ``workers`` are the threads that take them in turn, each with a
``workspace`` and alone with its operators, which ``threads`` sees to; ``source`` is where a chunk's logits come from
and its gradient goes, dense or resized; ``chunk`` is the loss of one.

Why threads of Python's over operators that torch does not split: with torch's own threads each of a call's thousand
operators is a parallel region, where all wait for the slowest, and beside two busy processes a call took 2.4 of
`F.cross_entropy`'s time. Torch lets the interpreter's lock go inside an operator, so that chunks of half a million
elements keep two threads busy; beside two busy processes a call now takes 0.2. It needs no compiler and no
other package.
For the same reason no operator here is one that torch leaves to MKL (exp, log, sqrt, sin, cos): each opens a region of
its own, whatever torch was told, and took 28 ms there for 400 numbers.
"""
