"""Weights of PyTorch, in and out, without PyTorch."""
