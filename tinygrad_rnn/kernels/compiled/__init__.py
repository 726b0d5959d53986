"""What Numba compiles of the kernels; imported only where `set_compiled` asks for it.

A cell a file, as in `plain/`. All of it is entered by the `door`, which checks what it is given; `kept` reads again
what was compiled before; `packed` has the products with weights that were packed once, `primitives` the rest of what
compiled steps are made of, `parts_of_numba` all that is taken from Numba, and `backend` is the table.
"""
