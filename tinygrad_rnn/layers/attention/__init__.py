"""Attention, a role of its own."""
