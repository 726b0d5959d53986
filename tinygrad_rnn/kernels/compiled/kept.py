"""What was compiled, kept on the disk: read again if it is whole, else compiled again.

Nothing that is wrong with the files ends a forward. They save some seconds, and no result depends on them.
"""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .parts_of_numba import CompileResultCacheImpl, FunctionCache

__all__ = ["SOURCES", "keep"]

SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
"""A hash of all that is compiled."""

_told: set[str] = set()


def keep(version: Any, function: Callable[..., None]) -> None:
    """Let `version`, Numba's dispatcher of what enters `function`, be read from files, and be written to them.

    They lie beside the source of `function`, or in the user's cache, or where `NUMBA_CACHE_DIR` says. Where nothing can
    be written, a RuntimeWarning says so, once in a process.
    """
    try:
        version._cache = Cache(function)
    except (OSError, RuntimeError) as error:
        _not_kept(error)


class Whole(CompileResultCacheImpl):  # type: ignore[misc]
    """Numba's form of what is kept, with a hash of the machine code: that of a damaged file would be run."""

    def reduce(self, result: Any) -> tuple[str, Any]:
        reduced = super().reduce(result)
        return _digest(reduced), reduced

    def rebuild(self, target_context: Any, kept: tuple[str, Any]) -> Any:
        expected, reduced = kept
        if _digest(reduced) != expected:
            raise ValueError("it does not hold what was written to it")
        return super().rebuild(target_context, reduced)


def _digest(reduced: Any) -> str:
    """The hash of the library, with its machine code, which comes first in what Numba writes."""
    return hashlib.sha256(repr(reduced[0]).encode()).hexdigest()


class Cache(FunctionCache):  # type: ignore[misc]
    """Numba's, which looks for changes in the file of a function; and for changes in all files of this folder."""

    _impl_class = Whole

    def _index_key(self, *arguments: Any) -> Any:
        return (*super()._index_key(*arguments), SOURCES)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(signature, target_context)
            if found is not None and found.signature.args != signature.args:
                raise ValueError("it holds another function")
        except Exception as error:  # what unpickling raises may be anything
            files = f"{Path(self.cache_path, self._impl.filename_base)}.*"
            _tell(
                "damaged",
                f"set_compiled: what was compiled before cannot be read from {files}: {_reason(error)}. It is compiled "
                "again and replaced. Of further such files nothing is said",
            )
            self._clear()
            return None
        return found

    def _clear(self) -> None:
        """Empty the index: Numba reads it again before it writes."""
        try:
            self.flush()
        except Exception as error:
            self._give_up(error)

    def save_overload(self, signature: Any, result: Any) -> None:
        try:
            super().save_overload(signature, result)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.disable()
        _not_kept(error, f" in {self.cache_path}")


def _not_kept(error: Exception, where: str = "") -> None:
    _tell(
        "not kept",
        f"set_compiled: what was compiled cannot be kept{where}: {_reason(error)}. Each process will compile it again. "
        "Make room there, or set the environment variable NUMBA_CACHE_DIR to a folder that can be written to",
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _tell(what: str, message: str) -> None:
    """Warn once in a process, not for each function."""
    if what not in _told:
        _told.add(what)
        warnings.warn(message, RuntimeWarning, stacklevel=2)
