"""The torch backend: loss and gradient in closed form, in pixel chunks that stay in cache.

No autograd graph over the logits and no full-size temporary: beyond the gradient it holds a few chunks for each thread.
``backend`` cuts the pixels into ``slices``; ``workers`` are the threads that take them in turn, each with a
``workspace`` and alone with its operators, which ``threads`` sees to; ``source`` is where a chunk's logits come from
and its gradient goes, dense or resized; ``formula`` is the loss that a call computes, and ``chunk`` that of one chunk.

Why threads of Python's over operators that torch does not split: with torch's own threads each of a call's thousand
operators is a parallel region, where all wait for the slowest, and beside two busy processes a call took 2.4 of
`F.cross_entropy`'s time. Torch lets the interpreter's lock go inside an operator, so that chunks keep two threads busy;
beside two busy processes a call now takes 0.16. It needs no compiler and no other package.
Two threads take 0.7 of one's time at 2x19x512x1024 and 0.8 where logits are resized to that size; two processes would
take 0.55. A thread that wants the lock back waits microseconds for it after every operator. So chunks are large, and
what they hold at once is little: half as large, two threads took as long as one with resized logits.
A call of one chunk stays in one thread. At 2x19x128x128 its largest operators, in a straight line with nothing around
them, take 1.1 to 1.3 of the time that `F.cross_entropy` takes with two threads, loss and gradient, and the call 1.6 to
1.8. Torch's threads would save a sixth of a call's time where two cores are idle; beside seven busy processes a call
took 90 ms with them, and `F.cross_entropy` 70, where it takes 2 to 10 without.
For the same reason no operator here is one that torch leaves to MKL (exp, log, sqrt, sin, cos): each opens a region of
its own, whatever torch was told, and took 28 ms there for 400 numbers.
"""
