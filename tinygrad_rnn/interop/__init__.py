"""Weights and models of other frameworks, in and out, with none of them installed."""

from .torch import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
