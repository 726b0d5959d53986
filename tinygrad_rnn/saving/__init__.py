"""A model, or the whole of a training, in one file."""
