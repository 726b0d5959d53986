"""Fast paths on plain arrays, tested equal to the readable steps of the cells.

`lstm`, `gru` and `rnn` go through a sequence in blocks of steps. The steps themselves, and some products, come from a
backend: `plain/` for NumPy and CuPy, `compiled/` for Numba; `backends` chooses by the array. `kernel` says what a
kernel and a backend are; `products`, `starts`, `tables` and `threads` are what the kernels share.
"""
