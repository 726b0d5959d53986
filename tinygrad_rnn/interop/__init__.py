"""Weights and models for other programs: C."""

from .c.export import CFiles as CFiles
from .c.export import to_c as to_c
from .quantized.model import Quality as Quality
from .quantized.model import Quantized as Quantized
from .quantized.model import quality as quality
from .quantized.model import quantize as quantize
from .quantized.weights import round_weights as round_weights

__all__ = ["CFiles", "Quality", "Quantized", "quality", "quantize", "round_weights", "to_c"]
