"""Training: the gradients of a batch, `fit`, its callbacks and history, and measuring a model."""
