"""Layers without a recurrent state."""
