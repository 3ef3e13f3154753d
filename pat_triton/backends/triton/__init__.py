"""The Triton backend: ``loss`` makes loss and gradient, ``upsample`` where the logits are resized; small kernels count.

Layers, each importing only those before it: ``hardware``, ``views``, ``numbers`` and ``philox`` (device steps),
``curves``, ``pixel`` (the steps at one pixel), ``planes`` (32 labels in the bits of a word), ``resize`` (where an
output lies between the nodes), ``regions`` (region losses in the kernels that read logits); the kernels ``loss``,
``upsample`` (``resized_loss`` before it, where it cannot hold a column or must know all of it), ``predict``,
``histogram``, ``tables``, ``total``, ``region_loss`` and ``rescale``; ``tiles`` (the only tuning table) and ``launch``
(one kernel of a plan); ``passes`` and ``counting`` (what a kind of call launches). ``backend`` gathers them.
"""
