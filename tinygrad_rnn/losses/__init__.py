"""Losses: predictions and targets to a number, and back."""
