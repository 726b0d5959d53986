"""A model as C99, one header and one source, for machines without Python."""
