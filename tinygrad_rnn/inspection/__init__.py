"""What a model computes inside."""
