"""A model, or all of a training, in one file.

`checkpoint` has `save` and `load`; `before_saving` is what `save` checks; `architecture` is what the model is made of,
as JSON; `rebuilding` makes it again, with what its layers share, their random streams and their weights; `safe_file` is
the file itself: its format, its checksum, and what is wrong with one.
"""
