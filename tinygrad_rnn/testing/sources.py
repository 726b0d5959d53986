"""Functions changed by their source: parsed, changed as a tree, and compiled to stand where the original stood."""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import CellType, CodeType, FunctionType
from typing import Any

CHANGED = "<a changed "
"""How the file names of changed functions begin."""
LINES_BEFORE = 3
"""Lines that come before their source."""


def original_of(function: Callable[..., Any]) -> FunctionType | None:
    """The function inside of decorators and methods; None if it is not written with `def`."""
    original = inspect.unwrap(getattr(function, "__func__", function))
    return original if isinstance(original, FunctionType) and original.__name__ != "<lambda>" else None


def definition_of(original: FunctionType) -> ast.FunctionDef:
    """The tree of a function, without its decorators and docstring.

    Raises:
        OSError: its source is not available.
    """
    changed = vars(original).get("source")
    definition = ast.parse(changed).body[0] if changed else _found(original)
    if not isinstance(definition, ast.FunctionDef):
        raise OSError(f"the source of {original.__qualname__} is not available")
    definition.decorator_list = []
    # This replaces the docstring: names of the closure (`__class__`, for `super()`), which are kept even if unused.
    free = list(original.__code__.co_freevars)
    definition.body[: ast.get_docstring(definition) is not None] = [ast.Nonlocal(free) if free else ast.Pass()]
    return definition


def compiled(source: str, original: FunctionType, names: Mapping[str, Any] | None = None) -> FunctionType:
    """The function of `source`, as if it were defined where `original` is; `names` are added to what it finds there."""
    name, free = original.__name__, ", ".join(original.__code__.co_freevars)
    owner = original.__qualname__.rpartition(".")[0].rpartition(".")[2]  # the class, which private names belong to
    # Without `global`, a function that calls itself, or a function of its name, would find the one local to `outer`.
    outer = f"class {owner if owner.isidentifier() else '_'}:\n def outer({free}):\n  global {name}\n"
    flags = original.__code__.co_flags & annotations.compiler_flag
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # a mutant may be odd, like `(a, b)[:, 0]`
        file = f"{CHANGED}{original.__qualname__}>"
        code = compile(outer + textwrap.indent(source, "  "), file, "exec", flags, dont_inherit=True)
    code = next(part for part in _inside(code) if part.co_name == name)
    found = original.__globals__ if names is None else {**original.__globals__, **names}
    cells = dict(zip(original.__code__.co_freevars, original.__closure__ or (), strict=True))
    closure = tuple(cells.get(free, CellType()) for free in code.co_freevars)  # `super` adds `__class__` in a class
    function = FunctionType(code, found, name, original.__defaults__, closure)
    function.__kwdefaults__, function.__qualname__ = original.__kwdefaults__, original.__qualname__
    vars(function)["source"] = source  # so that it can be changed again
    return function


def _found(original: FunctionType) -> ast.FunctionDef | None:
    """The definition in the file of a function from which the same code comes.

    There is none if the file has changed since it was imported, or if other code has the same file name, as all blocks
    of a page have in doctest.
    """
    code = original.__code__
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename, original.__globals__))
    try:
        tree, whole = _read(source, code.co_filename, code.co_flags & annotations.compiler_flag)
    except (SyntaxError, ValueError):
        return None
    lines = {part.co_firstlineno for part in _inside(whole) if _same(part, code)}
    named = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == code.co_name)
    found = next((n for n in named if min([n.lineno, *(d.lineno for d in n.decorator_list)]) in lines), None)
    return copy.deepcopy(found)  # for the caller changes it


@lru_cache(maxsize=16)
def _read(source: str, file: str, flags: int) -> tuple[ast.Module, CodeType]:
    """The tree and the code of a file: many functions of one file are asked for, one after the other."""
    return ast.parse(source), compile(source, file, "exec", flags, dont_inherit=True)


def _inside(code: CodeType) -> Iterator[CodeType]:
    """A piece of code, and all pieces in it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _inside(part)


def _same(one: Any, other: Any) -> bool:
    """Whether two pieces of code, or two constants in them, are the same, on whatever lines they stand."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return _same(
            *((c.co_name, c.co_code, c.co_consts, c.co_names, c.co_varnames, c.co_freevars) for c in (one, other))
        )
    return type(one) is type(other) and bool(one == other)
