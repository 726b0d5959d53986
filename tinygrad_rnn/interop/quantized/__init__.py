"""Models whose step is computed in whole numbers."""
