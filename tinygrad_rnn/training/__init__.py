"""Measuring a model: `evaluate`. The loop of a training is your own code."""
