"""Recurrent cells: each one readable step, unrolled over time."""
