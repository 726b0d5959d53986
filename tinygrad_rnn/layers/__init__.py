"""Layers: maps that know no time, attention, and `LockedDropout`, which knows time but has no state."""
