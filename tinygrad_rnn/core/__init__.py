"""The base classes of all layers, and what they are made of."""
