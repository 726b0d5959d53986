"""All that is taken from Numba and llvmlite, much of which they do not promise to keep.

A version that lacks any of it raises ImportError here, and not in the middle of a forward. `set_compiled` explains it.
"""

import numba
from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, types
from numba.core.base import BaseContext
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

__all__ = [
    "CompileResultCacheImpl",
    "FunctionCache",
    "binding",
    "cgutils",
    "intrinsic",
    "ir",
    "njit",
    "numba",
    "overload",
    "populate_array",
    "types",
]

ATTRIBUTES = (
    (FunctionCache, ("_impl_class", "_index_key", "cache_path", "disable", "flush", "load_overload", "save_overload")),
    (CompileResultCacheImpl, ("filename_base", "rebuild", "reduce")),
    (njit(lambda: None), ("_cache", "compile", "disable_compile")),
    (types, ("Array", "StarArgTuple", "boolean", "float64", "int64", "intp", "void")),
    (cgutils, ("unpack_tuple",)),
    (BaseContext, ("get_data_type", "get_dummy_value", "get_value_type", "make_array")),
    (binding, ("get_host_cpu_features", "get_process_triple")),
)
"""What is used of these, beside what is imported."""


def check_attributes() -> None:
    """Raise ImportError where an attribute is missing."""
    for owner, names in ATTRIBUTES:
        for name in names:
            if not hasattr(owner, name):
                raise ImportError(f"{getattr(owner, '__name__', type(owner).__name__)} has no {name}")


check_attributes()
