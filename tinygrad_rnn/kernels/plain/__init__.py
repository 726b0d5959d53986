"""The steps of the kernels by the functions of the arrays' own library, NumPy or CuPy: the definition."""
