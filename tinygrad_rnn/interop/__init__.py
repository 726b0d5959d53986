"""Weights and models of other frameworks, in and out, with none of them installed."""

from .keras import from_keras, to_keras
from .onnx_reading import from_onnx
from .onnx_writing import to_onnx
from .torch import from_torch, to_torch

__all__ = ["from_keras", "from_onnx", "from_torch", "to_keras", "to_onnx", "to_torch"]
