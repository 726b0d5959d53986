"""Layers that know no time."""
