"""A model, or all of the training state, in one file."""
