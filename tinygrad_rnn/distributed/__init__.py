"""More than one process: data parallel training on MPI, with the same results for any number of workers."""

from .shards import Shards
from .workers import Workers

__all__ = ["Workers", "Shards"]
