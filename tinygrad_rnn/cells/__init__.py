"""Recurrent cells: each is written as one step, which is unrolled over time."""
