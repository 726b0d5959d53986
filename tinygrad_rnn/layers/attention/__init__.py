"""Attention: `base` looks at a memory; one file for each way to score it (dot, general, additive)."""
