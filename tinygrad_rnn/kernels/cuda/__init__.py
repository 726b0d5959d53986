"""Kernels for arrays of CuPy.

A cell a file, as in `plain/`: beside each `.py` is the `.cu` with the arithmetic of the cell. `steps.cu` has what all
kernels are made of. `sources` has what is compiled and `launch` launches it; `products` are those of cuBLAS; `backend`
is the table, which is imported only where there is an array of CuPy.
"""
