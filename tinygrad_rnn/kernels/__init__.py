"""Fast paths, of whole sequences for the most part, tested equal to the readable definition."""
