"""The steps of the kernels, compiled by Numba; imported only where `set_compiled` asks for them."""
