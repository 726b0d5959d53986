"""Optimizers and gradient clippers, which work on all parameters as one vector."""
