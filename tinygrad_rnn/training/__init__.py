"""Training: the gradients of a batch, `fit`, its callbacks and history, and measuring a model by `metrics`."""

from . import metrics

__all__ = ["metrics"]
