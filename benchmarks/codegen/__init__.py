"""Room ``codegen``: the kernels' machine code, compiled and read without a GPU: ``roofline``.

What a launch needs of a GPU, what it moves and executes, and how long an H200 would take for it.
Uses no other room.
"""
