"""The Triton backend: one kernel for loss and gradient, one where the logits are resized, and small ones that count.

Layers, each importing only those before it: ``views``, ``numbers`` and ``philox`` (device steps), ``curves``, ``pixel``
(the steps at one pixel), ``planes`` (32 labels in the bits of a word), ``resize`` (where an output lies between the
nodes); the kernels ``loss``, ``upsample``, ``predict``, ``histogram``, ``tables``, ``total`` and ``rescale``; ``tiles``
(the only tuning table) and ``launch`` (one kernel of a plan); ``passes`` and ``counting`` (what a kind of call
launches). ``backend`` gathers them.
"""
