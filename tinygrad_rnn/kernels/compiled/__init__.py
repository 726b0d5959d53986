"""What Numba compiles of the kernels; imported only where `set_compiled` asks for it."""
