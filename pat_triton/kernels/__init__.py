"""The Triton path: one kernel for loss and gradient, one where the logits are resized, and small ones that count.

Layers, each importing only those before it: ``views`` and ``philox`` (device steps and their host
twins), ``curves``, ``pixel`` (the steps at one pixel), ``resize`` (where an output lies between the
nodes), ``loss`` / ``upsample`` / ``predict`` / ``histogram`` / ``rescale`` (the kernels), ``tiles``
(the only tuning table), ``launch``. ``path`` gathers them for ``ops``.
"""
