"""Weights and models of other frameworks, in and out, with none of them installed."""

from .onnx_reading import from_onnx
from .onnx_writing import to_onnx
from .torch import from_torch, to_torch

__all__ = ["from_onnx", "from_torch", "to_onnx", "to_torch"]
