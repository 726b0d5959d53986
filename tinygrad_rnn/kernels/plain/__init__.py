"""The steps of the kernels by the functions of the array's own library, NumPy or CuPy: the definition of all backends."""
