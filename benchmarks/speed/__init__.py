"""Room ``speed``: time and memory of every loss beside its rivals: ``losses``, ``upsample``, ``all`` and ``host``.

Every contestant is checked against float64 first. The figures of those that pass become records, tables and pictures.
Uses no other room.
"""
