"""From text to integer ids, and from ids to chunks (T, B)."""
