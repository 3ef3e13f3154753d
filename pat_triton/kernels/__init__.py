"""The Triton path: one kernel for loss and gradient, one for the label histogram, one to rescale.

Layers, each importing only those before it: ``views`` and ``philox`` (device steps and their host
twins), ``curves``, ``pixel`` (the steps at one pixel), ``loss`` / ``histogram`` / ``rescale`` (a
kernel each), ``tiles`` (the only tuning table), ``launch``. ``path`` gathers them for ``ops``.
"""
