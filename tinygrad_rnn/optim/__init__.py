"""Optimizers and gradient clippers, all on the one vector of parameters."""
