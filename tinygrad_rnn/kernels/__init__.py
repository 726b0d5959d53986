"""Fast paths on plain arrays, tested equal to the readable steps of the cells.

A file for each cell goes through a sequence in blocks of steps. The steps of `lstm`, `gru` and `rnn`, the recurrence of
`min_gru` and `min_lstm`, and some products, come from a backend: `plain/` for the arrays of any library, `compiled/`
for Numba, `cuda/` for CuPy; `backends` chooses by the array, and `gpu` how a GPU computes a step. What cells share
whose units do not see each other's states is in `elementwise`. `kernel` says what a kernel and a backend are;
`products`, `starts`, `tables`, `caches` and `threads` are what the kernels share.
"""
