"""What every layer is made of.

`Layer` and its roles (`layer`, `roles`), parameters and their vector, states and how they are declared (`states`),
`lengths` and `starts` (`rows`), one-hot rows, checks and their messages, initializers; devices, files, threads of BLAS.
"""
