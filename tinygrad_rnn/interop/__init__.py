"""Weights and models for other programs: C."""

from .c.export import CFiles as CFiles
from .c.export import to_c as to_c
from .quantized.weights import round_weights as round_weights

__all__ = ["CFiles", "round_weights", "to_c"]
