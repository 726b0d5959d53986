"""Read and write weights and models of other frameworks, without installing these; and write models in C."""

from .c.export import CFiles, to_c
from .keras.convert import from_keras, to_keras
from .onnx.reading import from_onnx
from .onnx.writing import to_onnx
from .quantized.model import Quantized, quantize
from .quantized.quality import Quality, quality
from .quantized.weights import round_weights
from .torch.convert import from_torch, to_torch

__all__ = [
    "CFiles",
    "Quality",
    "Quantized",
    "from_keras",
    "from_onnx",
    "from_torch",
    "quality",
    "quantize",
    "round_weights",
    "to_c",
    "to_keras",
    "to_onnx",
    "to_torch",
]
