"""From a sequence to one vector a row."""
