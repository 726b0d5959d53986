"""Text from a model: prompts, sampling, search."""
