"""From text to integers, and from integers to chunks (T, B)."""
