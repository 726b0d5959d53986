"""A model, or all of a training, in one file.

`checkpoint` has `save` and `load`; `architecture` is what the model is made of, as JSON, and its weights by name;
`safe_file` is the file itself: its format, its checksum, and what is wrong with one.
"""
