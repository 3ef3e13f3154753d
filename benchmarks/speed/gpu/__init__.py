"""The parts of ``benchmarks/gpu.sh``, a module each: ``python -m benchmarks.speed.gpu.PART``. ``camvid``, which
trains, is in ``paper``.

None is a job of ``python -m benchmarks``, which needs rich and others: a borrowed GPU may lack them.
"""
