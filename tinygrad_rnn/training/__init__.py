"""Measuring and training a model."""
