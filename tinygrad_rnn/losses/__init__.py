"""Losses: maps from predictions and targets to a number."""
