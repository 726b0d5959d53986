"""Whole-sequence fast paths, tested equal to the readable step."""
