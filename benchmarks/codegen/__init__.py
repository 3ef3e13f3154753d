"""Room ``codegen``: the kernels' machine code, read without a GPU: what it needs, moves and executes, and how long an
H200 would take."""
