"""What a model computes over a text: `record` and `credit_map`, names of the package itself, and a page of them."""

from .reporting import report

__all__ = ["report"]
